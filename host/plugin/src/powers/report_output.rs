//! The power `report-output`: the report that a result format writes. Does not know what is in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use wasmtime::component::Resource;

use crate::contract::convert::{error, io_error};
use crate::contract::data::Error;
use crate::contract::world::World;
use crate::engine::limits::Limit;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::task::has_reached;

pub(crate) static POWER: Power = Power {
    name: "report-output",
    worlds: &[World::ResultFormat],
    words: "write its own report",
    grant: None,
    more_grants: &[],
};

/// Where a report goes.
pub enum ReportTarget {
    /// A file, which the format may also overwrite.
    File(File),
    /// A stream, to which the format can only append.
    Stream(Box<dyn Write + Send>),
}

/// The handle of a format's report, which is [`ReportPower`].
#[allow(unreachable_pub)] // the generated bindings name it
pub struct ReportHandle;

/// The report of one format in one job.
pub(crate) struct ReportPower {
    /// The format in messages.
    label: String,
    target: ReportTarget,
    was_opened: bool,
    bytes_left: u64,
}

impl PowerState for ReportPower {}

impl ReportPower {
    /// A report of at most `most_bytes`.
    pub(crate) fn new(label: &str, target: ReportTarget, most_bytes: u64) -> Self {
        Self {
            label: label.to_owned(),
            target,
            was_opened: false,
            bytes_left: most_bytes,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.target {
            ReportTarget::File(file) => file.write_all(bytes),
            ReportTarget::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let ReportTarget::File(file) = &self.target else {
            return Err(error(
                "unsupported",
                "the report goes to a stream, which cannot be overwritten",
            ));
        };
        let size = file
            .metadata()
            .map_err(|error| io_error(&self.label, &error))?
            .len();
        if offset.saturating_add(bytes.len() as u64) > size {
            return Err(error(
                "invalid",
                format!(
                    "{offset} and {} more bytes are beyond the end of the report",
                    bytes.len()
                ),
            ));
        }
        file.write_all_at(bytes, offset)
            .map_err(|error| io_error(&self.label, &error))
    }
}

impl InstanceState {
    fn report(&mut self) -> Result<&mut ReportPower, Error> {
        self.permitted(&POWER)
    }

    /// Appends bytes to the report.
    pub(crate) fn append_to_report(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limits = Arc::clone(&self.context.limits);
        let report = self.report()?;
        let left = report.bytes_left.checked_sub(bytes.len() as u64);
        report.bytes_left = left.ok_or_else(|| has_reached(&limits.reached(Limit::ReportBytes)))?;
        let appended = report.append(bytes);
        appended.map_err(|failure| io_error(&report.label, &failure))
    }

    /// Replaces bytes of the report.
    pub(crate) fn overwrite_report(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.report()?.overwrite(offset, bytes)
    }

    /// Opens the report, once, and returns its handle.
    pub(crate) fn open_report_once(
        &mut self,
    ) -> wasmtime::Result<Result<Resource<ReportHandle>, Error>> {
        let report = match self.report() {
            Ok(report) => report,
            Err(refused) => return Ok(Err(refused)),
        };
        if std::mem::replace(&mut report.was_opened, true) {
            return Ok(Err(error("invalid", "the report was opened before")));
        }
        Ok(Ok(self.resources.push(ReportHandle)?))
    }
}
