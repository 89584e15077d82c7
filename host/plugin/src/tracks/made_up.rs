//! A made-up track 0.3 for the tests, with a contract of another shape. It is what a later track
//! needs beside 0.2: this folder, and its line in the table of the tracks.

#![allow(clippy::unwrap_used)]

use semver::Version;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use crate::contract::data;
use crate::contract::description::{Description, Part};
use crate::contract::world::{Role, World};
use crate::engine::componentize::componentize;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::failure;
use crate::instance::log::LogLevel;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::tracks::calls::{Call, InstanceStore, Instantiate, Instantiation, RunnerCalls};
use crate::tracks::linked::LinkedComponent;
use crate::tracks::track::Track;
use bindings::exports::persea::plugin::plugin::Introduction;
use bindings::exports::persea::plugin::run::{Order, Verdict};
use bindings::persea::plugin::log;
use bindings::{Runner, RunnerPre};
use persea_model::Status;

mod bindings {
    wasmtime::component::bindgen!({
        path: "src/tracks/made_up/contract.wit",
        world: "runner",
        imports: { default: trappable },
        exports: { default: async },
    });
}

const V0_3_1: Version = Version::new(0, 3, 1);

/// The descriptor of the track.
pub(crate) static TRACK: Track = Track {
    newest: V0_3_1,
    interfaces: &[("plugin", V0_3_1), ("log", V0_3_1), ("run", V0_3_1)],
    link,
    describe: |context, store, component, _| Box::pin(describe(context, store, component)),
    link_part,
};

/// Makes the component of the track's test.
pub(crate) fn component() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = include_str!("made_up/contract.wit");
    let package = resolve.push_str("contract.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("runner")).unwrap();
    let mut module = wat::parse_str(include_str!("made_up/guest.wat")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding, false).unwrap();
    componentize(&module).unwrap()
}

fn link(linker: &mut Linker<InstanceState>, powers: &[&'static Power]) -> wasmtime::Result<()> {
    match powers.contains(&&crate::powers::log::POWER) {
        true => log::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
        false => Ok(()),
    }
}

impl log::Host for InstanceState {
    fn write(&mut self, entries: Vec<log::Entry>) -> wasmtime::Result<()> {
        for entry in entries {
            let level = match entry.level {
                0 => LogLevel::Error,
                1 => LogLevel::Warn,
                _ => LogLevel::Info,
            };
            self.log.write(level, &entry.text);
        }
        Ok(())
    }
}

async fn describe(
    context: &PluginContext,
    mut store: Store<InstanceState>,
    component: InstancePre<InstanceState>,
) -> Result<Description, PluginError> {
    let component = RunnerPre::new(component)
        .map_err(|error| PluginError::cannot_load(&context.label, &error))?;
    let answer = call_in_time(context, async {
        let instance = component.instantiate_async(&mut store).await?;
        let calls = instance.persea_plugin_plugin();
        calls.call_describe(&mut store).await
    });
    match answer.await? {
        Ok(introduction) => {
            let mut budget = context.answer_budget();
            context.within_budget(Description::new(introduction.into(), &mut budget))
        }
        Err(error) => Err(failure(context, &mut store, &error)),
    }
}

impl From<Introduction> for data::Description {
    fn from(introduction: Introduction) -> Self {
        let roles = introduction.roles.into_iter().map(|role| data::Role {
            name: role.name,
            kinds: role.kinds,
            more: Vec::new(),
        });
        Self {
            name: introduction.title,
            version: introduction.release,
            summary: String::new(),
            roles: roles.collect(),
            settings: Vec::new(),
            more: Vec::new(),
        }
    }
}

fn link_part(
    plugin: &str,
    part: &Part,
    component: InstancePre<InstanceState>,
) -> Result<LinkedComponent, PluginError> {
    let wrong = |message: String| PluginError::Role {
        plugin: plugin.to_owned(),
        role: Role::Runner.name(),
        message,
    };
    if part.world != World::Runner {
        return Err(wrong("the track has no other role".to_owned()));
    }
    let made = RunnerPre::new(component).map_err(|error| wrong(format!("{error:#}")))?;
    Ok(LinkedComponent::Runner {
        one_task: Box::new(made),
        batch: None,
    })
}

impl Instantiate<dyn RunnerCalls> for RunnerPre<InstanceState> {
    fn instantiate<'a>(
        &'a self,
        store: &'a mut InstanceStore,
    ) -> Instantiation<'a, dyn RunnerCalls> {
        Box::pin(async move {
            let instance = self.instantiate_async(store).await?;
            Ok(Box::new(instance) as Box<dyn RunnerCalls>)
        })
    }
}

impl RunnerCalls for Runner {
    fn run<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        task: data::Task,
    ) -> Call<'a, data::Outcome> {
        Box::pin(async move {
            let order = Order {
                id: task.id,
                kind: task.runnable.kind,
                target: task.runnable.uri,
            };
            let verdict = self.persea_plugin_run().call_run(store, &order).await?;
            let (status, reason) = match verdict {
                Verdict::Passed => (Status::Pass, None),
                Verdict::Failed(reasons) => (Status::Fail, Some(reasons.join("; "))),
            };
            Ok(Ok(data::Outcome {
                status,
                reason,
                more: Vec::new(),
            }))
        })
    }
}
