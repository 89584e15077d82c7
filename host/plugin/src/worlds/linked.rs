//! Owns the linked form of a component, by its world. Does not know where the component came from.

use wasmtime::component::InstancePre;

use super::bindings::batch_runner::BatchRunnerPre;
use super::bindings::program_runner::ProgramRunnerPre;
use super::bindings::requirement_resolver::RequirementResolverPre;
use super::bindings::resolver::ResolverPre;
use super::bindings::result_format::ResultFormatPre;
use super::bindings::runner::RunnerPre;
use super::bindings::scheduler::SchedulerPre;
use super::bindings::varianter::VarianterPre;
use crate::contract::world::World;
use crate::error::PluginError;
use crate::instance::state::InstanceState;
use crate::trust::manifest::Manifest;
use crate::worlds::program_instances::ProgramInstances;

/// A component that is linked to its powers, ready to be instantiated and called.
pub(crate) enum LinkedComponent {
    Resolver(ResolverPre<InstanceState>),
    Runner {
        one_task: RunnerPre<InstanceState>,
        /// How the runner runs many tasks on one instance, if it can.
        batch: Option<BatchRunnerPre<InstanceState>>,
    },
    ProgramRunner(ProgramInstances),
    ResultFormat(ResultFormatPre<InstanceState>),
    RequirementResolver(RequirementResolverPre<InstanceState>),
    Scheduler(SchedulerPre<InstanceState>),
    Varianter(VarianterPre<InstanceState>),
}

impl LinkedComponent {
    /// Makes the callable form of a plugin's component.
    pub(crate) fn new(
        plugin: &str,
        manifest: &Manifest,
        component: InstancePre<InstanceState>,
    ) -> Result<Self, PluginError> {
        Self::by_world(manifest, component)
            .map_err(|error| PluginError::cannot_load(plugin, &error))
    }

    fn by_world(
        manifest: &Manifest,
        component: InstancePre<InstanceState>,
    ) -> wasmtime::Result<Self> {
        Ok(match manifest.world {
            World::Resolver => Self::Resolver(ResolverPre::new(component)?),
            World::Runner if manifest.is_program_runner => {
                let component = ProgramRunnerPre::new(component)?;
                Self::ProgramRunner(ProgramInstances::new(component))
            }
            World::Runner => Self::Runner {
                batch: match manifest.runs_batches {
                    true => Some(BatchRunnerPre::new(component.clone())?),
                    false => None,
                },
                one_task: RunnerPre::new(component)?,
            },
            World::ResultFormat => Self::ResultFormat(ResultFormatPre::new(component)?),
            World::Varianter => Self::Varianter(VarianterPre::new(component)?),
            World::Scheduler => Self::Scheduler(SchedulerPre::new(component)?),
            World::RequirementResolver => {
                Self::RequirementResolver(RequirementResolverPre::new(component)?)
            }
        })
    }
}
