//! The power `log`: messages to the plugin's log. Every plugin may have it.

use wasmtime::component::HasSelf;

use self::bindings::persea::plugin::log as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::world::World;
use crate::instance::log::LogLevel;
use crate::instance::state::{InstanceState, Panic};
use crate::powers::descriptor::Power;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/log@0.2.0;
    }",
    { default: trappable }
);

pub(crate) static POWER: Power = Power {
    name: "log",
    worlds: &World::ALL,
    words: "write messages to the log",
    grant: None,
    more_grants: &[],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
};

impl wit::Host for InstanceState {
    fn log(&mut self, level: wit::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            wit::Level::Trace => LogLevel::Trace,
            wit::Level::Debug => LogLevel::Debug,
            wit::Level::Info => LogLevel::Info,
            wit::Level::Warn => LogLevel::Warn,
            wit::Level::Error => LogLevel::Error,
        };
        self.log.write(level, &message);
        Ok(())
    }

    fn panicked(&mut self, message: String, location: String) -> wasmtime::Result<()> {
        self.panic = Some(Panic { message, location });
        Ok(())
    }
}
