//! Owns the linked form of a component, for each of its worlds. Does not know where the component
//! came from.

use wasmtime::component::InstancePre;

use super::bindings::batch_runner::BatchRunnerPre;
use super::bindings::lister::ListerPre;
use super::bindings::program_runner::ProgramRunnerPre;
use super::bindings::requirement_resolver::RequirementResolverPre;
use super::bindings::resolver::ResolverPre;
use super::bindings::result_format::ResultFormatPre;
use super::bindings::runner::RunnerPre;
use super::bindings::scheduler::SchedulerPre;
use super::bindings::varianter::VarianterPre;
use crate::contract::description::Part;
use crate::contract::world::{Role, World};
use crate::error::PluginError;
use crate::instance::state::InstanceState;
use crate::worlds::program_instances::ProgramInstances;

/// A component that is linked to its powers, ready to be instantiated and called.
pub(crate) enum LinkedComponent {
    Resolver(ResolverPre<InstanceState>),
    Lister(ListerPre<InstanceState>),
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
    /// Makes the callable form of a plugin's component for one of its worlds.
    ///
    /// # Errors
    /// An interface of a role has functions of other types. The error names the role.
    pub(crate) fn new(
        plugin: &str,
        part: &Part,
        component: InstancePre<InstanceState>,
    ) -> Result<Self, PluginError> {
        let of_role = |role: Role| {
            move |error: wasmtime::Error| PluginError::Role {
                plugin: plugin.to_owned(),
                role: role.name(),
                message: format!("{error:#}"),
            }
        };
        Ok(match part.world {
            World::Resolver => {
                let made = ResolverPre::new(component);
                Self::Resolver(made.map_err(of_role(Role::Resolver))?)
            }
            World::Lister => {
                let made = ListerPre::new(component);
                Self::Lister(made.map_err(of_role(Role::Lister))?)
            }
            World::Runner if part.is_program_runner => {
                let made = ProgramRunnerPre::new(component);
                let made = made.map_err(of_role(Role::ProgramRunner))?;
                Self::ProgramRunner(ProgramInstances::new(made))
            }
            World::Runner => {
                let batch = match part.batch_kinds.is_empty() {
                    true => None,
                    false => {
                        let made = BatchRunnerPre::new(component.clone());
                        Some(made.map_err(of_role(Role::BatchRunner))?)
                    }
                };
                let made = RunnerPre::new(component);
                let one_task = made.map_err(of_role(Role::Runner))?;
                Self::Runner { one_task, batch }
            }
            World::ResultFormat => {
                let made = ResultFormatPre::new(component);
                Self::ResultFormat(made.map_err(of_role(Role::ResultFormat))?)
            }
            World::Varianter => {
                let made = VarianterPre::new(component);
                Self::Varianter(made.map_err(of_role(Role::Varianter))?)
            }
            World::Scheduler => {
                let made = SchedulerPre::new(component);
                Self::Scheduler(made.map_err(of_role(Role::Scheduler))?)
            }
            World::RequirementResolver => {
                let made = RequirementResolverPre::new(component);
                Self::RequirementResolver(made.map_err(of_role(Role::RequirementResolver))?)
            }
        })
    }
}
