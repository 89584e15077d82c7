//! The power `status`: what a runner says about its task while that runs, up to a limit.

use std::io::{self, Write as _};
use std::sync::Arc;

use super::read_at;
use super::task::TaskPower;
use crate::contract::bindings::status::Host;
use crate::contract::bindings::types::Error;
use crate::contract::convert::{error, io_error};
use crate::engine::limits::{Reached, bytes};
use crate::instance::state::State;
use persea_model::names::is_artifact_name;

/// What a message costs beside its bytes, so that empty ones are limited too.
const MESSAGE: u64 = 64;

impl State {
    pub(crate) fn task(&mut self) -> Result<&mut TaskPower, Error> {
        self.task
            .as_mut()
            .ok_or_else(|| error("unsupported", "there is no task to speak of here"))
    }

    fn pay(&mut self, size: usize) -> Result<&mut TaskPower, Error> {
        let limits = Arc::clone(&self.terms.limits);
        let over = |reached: Reached| error("limit", format!("it has reached {reached}"));
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
pub(crate) fn checked(name: &str) -> Result<&str, Error> {
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

/// Why a file of a task can't be had: also that something else has its name.
pub(crate) fn file_error(name: &str, failure: &io::Error) -> Error {
    match failure.kind() {
        io::ErrorKind::InvalidInput => error("invalid", format!("{name}: {failure}")),
        _ => io_error(name, failure),
    }
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
            let file = task.host.append(checked(&name)?);
            file.and_then(|mut file| file.write_all(&bytes))
                .map_err(|error| file_error(&name, &error))
        }))
    }

    fn read_artifact(
        &mut self,
        name: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.task().and_then(|task| {
            let file = task.host.read(checked(&name)?);
            file.and_then(|file| read_at(&file, offset, length))
                .map_err(|error| file_error(&name, &error))
        }))
    }
}
