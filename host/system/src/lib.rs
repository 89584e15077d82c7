//! Owns what the host asks of the operating system beside processes: files that others may change meanwhile, directories that are
//! private or temporary, threads, and the limits that a shell or a container sets.
//!
//! Does not know about jobs, plugins or settings.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod exclusive;
pub mod held;
pub mod private;
pub mod small_file;
pub mod temporary;
pub mod threads;
pub mod ulimit;
