//! The power `status`: what a plugin reports about its task while that runs, up to a limit.

use std::io::Write as _;
use std::sync::Arc;

use wasmtime::component::HasSelf;

use self::bindings::persea::plugin::status as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::Error;
use crate::contract::convert::error;
use crate::contract::world::World;
use crate::engine::limits::Limit;
use crate::error::reached::ReachedLimit;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::powers::files::{checked_name, file_error, read_at};
use crate::powers::task::TaskPower;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.1.0;
        import persea:plugin/status@0.1.0;
    }",
    { default: trappable }
);

pub(crate) static POWER: Power = Power {
    name: "status",
    worlds: &[World::Runner, World::RequirementResolver],
    words: "tell how its task goes, and leave files in the task's directory",
    grant: None,
    more_grants: &[],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
};

/// The cost of a message in bytes apart from its text, so that empty messages are limited too.
const MESSAGE_COST: u64 = 64;

impl InstanceState {
    /// Takes a message of this size from the task's limits.
    ///
    /// # Errors
    /// `limit`: the task has reached one. `unsupported`: there is no task.
    fn pay(&mut self, size: usize) -> Result<&mut TaskPower, Error> {
        let limits = Arc::clone(&self.context.limits);
        let over = |reached: ReachedLimit| error("limit", format!("it has reached {reached}"));
        let task = self.task()?;
        task.messages_left = task
            .messages_left
            .checked_sub(1)
            .ok_or_else(|| over(limits.reached(Limit::StatusMessages)))?;
        task.bytes_left = task
            .bytes_left
            .checked_sub(size as u64 + MESSAGE_COST)
            .ok_or_else(|| over(limits.reached(Limit::StatusBytes)))?;
        Ok(task)
    }
}

impl wit::Host for InstanceState {
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
            let file = task.host.append(checked_name(&name)?);
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
            let file = task.host.read(checked_name(&name)?);
            file.and_then(|file| read_at(&file, offset, length))
                .map_err(|error| file_error(&name, &error))
        }))
    }
}
