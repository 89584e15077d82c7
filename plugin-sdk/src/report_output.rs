//! The power `report-output`: the report that a result format writes.
//!
//! ```
//! use persea_plugin_sdk::report_output;
//! # let host = persea_plugin_sdk::testing::Host::new().install();
//! use std::io::Write as _;
//!
//! let mut report = report_output::open()?;
//! writeln!(report, "total: {:3}", 0)?;
//! report.overwrite(7, b" 12")?;
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
    pub fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        backend::report_append(&self.0, bytes)
    }

    /// Overwrites bytes that were written before, from `offset`; for instance a total that is known
    /// only at the end.
    ///
    /// # Errors
    /// `unsupported` when the report goes to a stream, `invalid` beyond the report's end, `io`.
    pub fn overwrite(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        backend::report_overwrite(&self.0, offset, bytes)
    }
}

impl io::Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    // One call into the host, however many pieces the format string has.
    fn write_fmt(&mut self, pieces: fmt::Arguments<'_>) -> io::Result<()> {
        match pieces.as_str() {
            Some(text) => self.append(text.as_bytes())?,
            None => self.append(fmt::format(pieces).as_bytes())?,
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the format's only report: the file that [`Role::more`](crate::Role::more) names
/// as `file`, or the place that the user chose.
///
/// # Errors
/// `invalid` when the report was opened before, `not-permitted`.
pub fn open() -> Result<Report, Error> {
    backend::open_report().map(Report)
}
