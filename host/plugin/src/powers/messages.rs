//! The power `messages`: what a plugin reports about its task while that runs, up to a limit.

use crate::contract::data::Error;
use crate::contract::world::World;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;

pub(crate) static POWER: Power = Power {
    name: "messages",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "report how its task goes",
    grant: None,
    more_grants: &[],
};

impl InstanceState {
    /// Reports a line about the progress of the current task.
    pub(crate) fn report_progress(&mut self, message: String) -> Result<(), Error> {
        let task = self.pay(&POWER, message.len());
        task.map(|task| task.host.progress(message))
    }

    /// Adds text to the whiteboard of the current task.
    pub(crate) fn add_to_whiteboard(&mut self, text: &str) -> Result<(), Error> {
        let task = self.pay(&POWER, text.len());
        task.map(|task| task.host.whiteboard(text))
    }
}
