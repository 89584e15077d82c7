//! Owns what the host asks of the operating system, apart from starting processes: files that
//! others may replace at any time, private and temporary directories, threads, and the limits of a
//! shell or container. Does not know about jobs, plugins or settings.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bounded_read;
pub mod directory_handle;
pub mod directory_lock;
pub mod filesystem;
pub mod git;
pub mod private;
pub mod process;
pub mod temporary;
pub mod threads;
pub mod ulimit;
