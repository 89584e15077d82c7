//! The power `output`: the report that a result format writes, and the tasks' files that it may
//! read.
//!
//! ```
//! use persea_plugin_sdk::output;
//! # let host = persea_plugin_sdk::testing::Host::new().install();
//! use std::io::Write as _;
//!
//! let mut report = output::open()?;
//! writeln!(report, "total: {:3}", 0)?;
//! report.write_at(7, b" 12")?;
//! # assert_eq!(host.report().as_deref(), Some(&b"total:  12\n"[..]));
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```

use crate::backend;
use crate::error::Error;
use std::{fmt, io};

/// An open report.
///
/// Every write, also every `write!`, is one call into the host. Wrap the report in a
/// [`BufWriter`](io::BufWriter) for many small writes.
#[derive(Debug)]
pub struct Report(backend::Report);

impl Report {
    /// Appends bytes to the report.
    ///
    /// # Errors
    /// `limit` for a report of more than 4 GiB (`plugins.limits.output_mb`), `io`.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        backend::report_write(&self.0, bytes)
    }

    /// Overwrites bytes that were written before, from `offset`; for instance a total that is known
    /// only at the end.
    ///
    /// # Errors
    /// `unsupported` when the report goes to a stream, `invalid` beyond the report's end, `io`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        backend::report_write_at(&self.0, offset, bytes)
    }
}

impl io::Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Report::write(self, bytes)?;
        Ok(bytes.len())
    }

    // One call into the host, however many pieces the format string has.
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

/// Opens the format's only report: the file that [`Description::more`](crate::Description::more)
/// names as `file`, or the place that the user chose.
///
/// # Errors
/// `invalid` when the report was opened before.
pub fn open() -> Result<Report, Error> {
    backend::open().map(Report)
}

/// Returns the size of a file in a task's results directory, in bytes. `task` is the task's id.
///
/// # Errors
/// `not-found`, `not-permitted`, `invalid` for a name that is not allowed or is not an ordinary
/// file's, `io`.
pub fn artifact_size(task: &str, name: &str) -> Result<u64, Error> {
    backend::task_artifact_size(task, name)
}

/// Reads up to `length` bytes (at most 1 MiB) of a file in a task's results directory, from
/// `offset`. The result is shorter only at the end of the file. `task` is the task's id.
///
/// # Errors
/// As for [`artifact_size`].
pub fn read_artifact(task: &str, name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read_task_artifact(task, name, offset, length)
}
