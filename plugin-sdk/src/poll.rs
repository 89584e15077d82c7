//! The power `poll`: waiting for several pipes and children at once.
//!
//! ```
//! use persea_plugin_sdk::poll::{self, Interest};
//! use persea_plugin_sdk::process::{self, Command, Output, Pipe};
//! use std::time::Duration;
//! # use persea_plugin_sdk::testing::{Answer, Host, Processes};
//! # let answer = Answer::code(0).duration(Duration::from_secs(60));
//! # let _host = Host::new().processes(Processes::always(answer)).install();
//!
//! let child = process::start(&Command::new("server").stdout(Output::Pipe))?;
//! let output = poll::watch(&child, Interest::Readable(Pipe::Stdout))?;
//! if poll::poll(&[&output], Some(Duration::from_secs(5)))?.is_empty() {
//!     child.signal(15)?;
//! }
//! # assert_eq!(child.wait()?.signal(), Some(15));
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```

use crate::backend;
use crate::error::Error;
use crate::process::Child;
use std::time::Duration;

#[doc(inline)]
pub use crate::bindings::poll::Interest;

/// Something to wait for. It may be dropped at any time, also after its child; of a child that was
/// dropped it is always ready.
#[derive(Debug)]
pub struct Pollable(pub(crate) backend::Pollable);

impl Pollable {
    /// Whether it is ready, without waiting for it. What becomes ready at this very moment may not
    /// be seen yet. A plugin that has nothing else to do calls [`poll`].
    pub fn ready(&self) -> bool {
        backend::pollable_ready(&self.0)
    }
}

/// Returns a pollable for an interest in a child.
///
/// # Errors
/// `invalid` for an output that is not a pipe, `limit` for more than 1,024 pollables at once,
/// `not-permitted`.
pub fn watch(child: &Child, interest: Interest) -> Result<Pollable, Error> {
    backend::watch(&child.0, interest).map(Pollable)
}

/// Waits until at least one of the pollables is ready, or the time is up. Returns the ready ones by
/// their position in the list, ascending; the list is empty when the time was up first.
/// Level-triggered. An empty list with a time sleeps.
///
/// # Errors
/// `invalid` for an empty list without a time, and for more than 1,024 pollables; `interrupted`
/// once the task is; `not-permitted`.
pub fn poll(among: &[&Pollable], timeout: Option<Duration>) -> Result<Vec<usize>, Error> {
    let timeout = timeout.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let ready = backend::poll(among, timeout)?;
    Ok(ready
        .into_iter()
        .map(|position| position as usize)
        .collect())
}
