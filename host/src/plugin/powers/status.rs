//! The power `status`: what a runner says about its task while that runs, up to a limit.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::read_at;
use super::task::TaskPower;
use crate::names::is_artifact_name;
use crate::plugin::bindings::status::Host;
use crate::plugin::bindings::types::Error;
use crate::plugin::convert::{error, io_error};
use crate::plugin::limits::{Reached, bytes};
use crate::plugin::state::State;

/// What a message costs beside its bytes, so that empty ones are limited too.
const MESSAGE: u64 = 64;

impl State {
    pub(super) fn task(&mut self) -> Result<&mut TaskPower, Error> {
        self.task
            .as_mut()
            .ok_or_else(|| error("unsupported", "there is no task to speak of here"))
    }

    fn pay(&mut self, size: usize) -> Result<&mut TaskPower, Error> {
        let limits = Arc::clone(&self.terms.limits);
        let over = |reached: Reached| error("limit", format!("this task has reached {reached}"));
        let task = self.task()?;
        task.messages_left = task.messages_left.checked_sub(1).ok_or_else(|| {
            let value = limits.status_messages.to_string();
            over(limits.reached("messages", value, "status_messages"))
        })?;
        task.bytes_left = task
            .bytes_left
            .checked_sub(size as u64 + MESSAGE)
            .ok_or_else(|| {
                let value = bytes(limits.status_bytes);
                over(limits.reached("messages and artifacts", value, "status_bytes"))
            })?;
        Ok(task)
    }
}

/// A name that a plugin gave, if it may be a file's.
pub(super) fn checked(name: &str) -> Result<&str, Error> {
    if is_artifact_name(name) {
        return Ok(name);
    }
    Err(error(
        "invalid",
        format!(
            "{name:?} cannot be the name of a file of a task: it must be one plain path component that does not begin with a dot"
        ),
    ))
}

/// Opens an artifact. A test may have put a link or a pipe in its place: neither is followed.
fn open(task: &TaskPower, name: &str, write: bool) -> Result<std::fs::File, Error> {
    let failed = |error: std::io::Error| io_error(name, &error);
    let path = task.host.file(checked(name)?).map_err(failed)?;
    let mut options = std::fs::File::options();
    if write {
        options.append(true).create(true);
    } else {
        options.read(true);
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)
        .bits()
        .cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(error("invalid", format!("{name} is not an ordinary file")));
    }
    Ok(file)
}

impl Host for State {
    fn progress(&mut self, message: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .pay(message.len())
            .map(|task| task.host.progress(message)))
    }

    fn whiteboard(&mut self, text: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.pay(text.len()).map(|task| task.host.whiteboard(&text)))
    }

    fn write_artifact(
        &mut self,
        name: String,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.pay(bytes.len()).and_then(|task| {
            open(task, &name, true)?
                .write_all(&bytes)
                .map_err(|error| io_error(&name, &error))
        }))
    }

    fn read_artifact(
        &mut self,
        name: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.task().and_then(|task| {
            let file = open(task, &name, false)?;
            read_at(&file, offset, length).map_err(|error| io_error(&name, &error))
        }))
    }
}
