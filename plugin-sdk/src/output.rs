//! The power `output`: the report that a result format writes, and the files of the job that it may read.

use crate::backend;
use crate::error::Error;
use std::{fmt, io};

/// A report in the making. Each write is a call into the host, so is each `write!`: put a
/// [`BufWriter`](io::BufWriter) before many small ones.
#[derive(Debug)]
pub struct Report(backend::Report);

impl Report {
    /// Adds bytes at its end.
    ///
    /// # Errors
    /// `limit`, `closed` where the stream that it goes to has gone, `io`.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        backend::report_write(&self.0, bytes)
    }

    /// Writes over bytes that are already there, as for a total that's known only at the end.
    ///
    /// # Errors
    /// `unsupported` where the report goes to a stream, `invalid` beyond its end, `io`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        backend::report_write_at(&self.0, offset, bytes)
    }
}

impl io::Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Report::write(self, bytes)?;
        Ok(bytes.len())
    }

    /// In one call into the host, however many pieces there are.
    fn write_fmt(&mut self, pieces: fmt::Arguments<'_>) -> io::Result<()> {
        match pieces.as_str() {
            Some(text) => Report::write(self, text.as_bytes())?,
            None => Report::write(self, fmt::format(pieces).as_bytes())?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the format's report. A format has one.
///
/// # Errors
/// `invalid` the second time, `io`.
pub fn open() -> Result<Report, Error> {
    backend::open().map(Report)
}

/// The size of a file in a task's results directory, in bytes.
///
/// # Errors
/// `not-found`, `invalid`, `io`.
pub fn artifact_size(task: &str, name: &str) -> Result<u64, Error> {
    backend::task_artifact_size(task, name)
}

/// Reads up to `length` bytes (at most 1 MiB) of a file in a task's results directory, from `offset`.
///
/// # Errors
/// `not-found`, `invalid`, `io`.
pub fn read_artifact(task: &str, name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read_task_artifact(task, name, offset, length)
}
