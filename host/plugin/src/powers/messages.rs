//! The power `messages`: what a plugin reports about its task while that runs, up to a limit.

use wasmtime::component::HasSelf;

use self::bindings::persea::plugin::messages as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::Error;
use crate::contract::world::World;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/messages@0.2.0;
    }",
    { default: trappable }
);

pub(crate) static POWER: Power = Power {
    name: "messages",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "report how its task goes",
    grant: None,
    more_grants: &[],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
};

impl wit::Host for InstanceState {
    fn progress(&mut self, message: String) -> wasmtime::Result<Result<(), Error>> {
        let task = self.pay(&POWER, message.len());
        Ok(task.map(|task| task.host.progress(message)))
    }

    fn whiteboard(&mut self, text: String) -> wasmtime::Result<Result<(), Error>> {
        let task = self.pay(&POWER, text.len());
        Ok(task.map(|task| task.host.whiteboard(&text)))
    }
}
