//! Fakes of the host for unit tests. In a native build they implement the powers, each for the
//! thread that installs it.
//!
//! ```
//! use persea_plugin_sdk::process::{self, Command, Output};
//! use persea_plugin_sdk::testing::{Answer, Files, Host, Processes};
//! use persea_plugin_sdk::workspace;
//!
//! let host = Host::new()
//!     .files(Files::new().file("src/a.c", "int main;").executable("run.sh", "#!/bin/sh\n"))
//!     .processes(Processes::new(|command| match command.program.as_str() {
//!         "cc" => Answer::code(1).stderr("a.c: no\n"),
//!         _ => Answer::missing(),
//!     }))
//!     .install();
//! assert!(workspace::stat("run.sh")?.executable);
//! let exit = process::run(&Command::new("cc").stderr(Output::file("stderr")))?;
//! assert_eq!(exit.code(), Some(1));
//! assert_eq!(host.artifact("stderr").as_deref(), Some(&b"a.c: no\n"[..]));
//! assert_eq!(host.commands().len(), 1);
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```
//!
//! The fakes fail with the same error codes as the host, and have the host's default [`Limits`]. A
//! power without a fake behaves as if it were empty: there are no files, and no program is found.
//! Any function of a power can be made to [fail](Host::fault).
//!
//! Time does not pass by itself. The [clock](crate::monotonic_clock) starts at 0, and waiting for a
//! process, or [polling](crate::poll) with a time, moves it on. At the [deadline](Host::deadline)
//! the task is interrupted, as the host would do.

mod files;
mod host;
mod limits;
mod processes;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub use files::{Artifacts, Files, Reports};
pub use host::{Host, Installed, check_description};
pub use limits::Limits;
pub use processes::{Answer, Processes};
