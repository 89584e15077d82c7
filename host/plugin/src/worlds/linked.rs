//! A component linked to its powers, by world, and asked what it is. It must not know where the component came from, nor what else it's called
//! for.

use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use crate::PluginError;
use crate::contract::bindings::{
    batch_runner, program_runner, requirement_resolver, resolver, result_format, runner, scheduler,
    varianter,
};
use crate::contract::description::Description;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::explain;
use crate::trust::manifest::{Manifest, World};
use crate::worlds::program::Programs;

/// A linked component.
pub(crate) enum Pre {
    Resolver(resolver::ResolverPre<State>),
    /// With how it runs many tasks, where it can.
    Runner(
        runner::RunnerPre<State>,
        Option<batch_runner::BatchRunnerPre<State>>,
    ),
    Programs(Programs),
    ResultFormat(result_format::ResultFormatPre<State>),
    RequirementResolver(requirement_resolver::RequirementResolverPre<State>),
    Scheduler(scheduler::SchedulerPre<State>),
    Varianter(varianter::VarianterPre<State>),
}

impl Pre {
    pub(crate) fn new(
        manifest: &Manifest,
        linker: &Linker<State>,
        component: &Component,
    ) -> wasmtime::Result<Self> {
        let pre = linker.instantiate_pre(component)?;
        Ok(match manifest.world {
            World::Resolver => Self::Resolver(resolver::ResolverPre::new(pre)?),
            World::Runner if manifest.programs => {
                Self::Programs(Programs::new(program_runner::ProgramRunnerPre::new(pre)?))
            }
            World::Runner => {
                let batch = manifest
                    .batches
                    .then(|| batch_runner::BatchRunnerPre::new(pre.clone()));
                Self::Runner(runner::RunnerPre::new(pre)?, batch.transpose()?)
            }
            World::ResultFormat => Self::ResultFormat(result_format::ResultFormatPre::new(pre)?),
            World::Varianter => Self::Varianter(varianter::VarianterPre::new(pre)?),
            World::Scheduler => Self::Scheduler(scheduler::SchedulerPre::new(pre)?),
            World::RequirementResolver => {
                let pre = requirement_resolver::RequirementResolverPre::new(pre)?;
                Self::RequirementResolver(pre)
            }
        })
    }

    /// Asks it what it is, in a sandbox of its own.
    pub(crate) async fn describe(
        &self,
        terms: &Terms,
        mut store: Store<State>,
    ) -> Result<Description, PluginError> {
        // A macro, because the generated bindings of the worlds have no trait in common.
        macro_rules! ask {
            ($pre:expr) => {{
                let answer = within(terms, async {
                    let instance = $pre.instantiate_async(&mut store).await?;
                    let calls = instance.persea_plugin_plugin();
                    calls.call_describe(&mut store).await
                });
                answer.await?
            }};
        }
        let answer = match self {
            Self::Resolver(pre) => ask!(pre),
            Self::Runner(pre, _) => ask!(pre),
            Self::Programs(programs) => ask!(programs.pre),
            Self::ResultFormat(pre) => ask!(pre),
            Self::Varianter(pre) => ask!(pre),
            Self::Scheduler(pre) => ask!(pre),
            Self::RequirementResolver(pre) => ask!(pre),
        };
        match answer {
            Ok(description) => terms.fitting(Description::new(description, &mut terms.room())),
            Err(error) => Err(explain(terms, &mut store, &error)),
        }
    }
}
