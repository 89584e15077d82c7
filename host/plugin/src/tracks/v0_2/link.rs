//! Owns the linked form of a component of the track 0.2, of which instances with the calls of its
//! worlds are made. Does not know what is called.

use wasmtime::component::InstancePre;

use super::exports::batch_runner::BatchRunnerPre;
use super::exports::lister::ListerPre;
use super::exports::program_runner::ProgramRunnerPre;
use super::exports::requirement_resolver::RequirementResolverPre;
use super::exports::resolver::ResolverPre;
use super::exports::result_format::ResultFormatPre;
use super::exports::runner::RunnerPre;
use super::exports::scheduler::SchedulerPre;
use super::exports::varianter::VarianterPre;
use crate::contract::description::Part;
use crate::contract::world::{Role, World};
use crate::error::PluginError;
use crate::instance::state::InstanceState;
use crate::tracks::calls::{
    BatchRunnerCalls, InstanceStore, Instantiate, Instantiation, ListerCalls, ProgramRunnerCalls,
    RequirementResolverCalls, ResolverCalls, ResultFormatCalls, RunnerCalls, SchedulerCalls,
    VarianterCalls,
};
use crate::tracks::linked::LinkedComponent;

/// Makes the callable form of a plugin's component for one of its worlds.
///
/// # Errors
/// An interface of a role has functions of other types. The error names the role.
pub(super) fn link_part(
    plugin: &str,
    part: &Part,
    component: InstancePre<InstanceState>,
) -> Result<LinkedComponent, PluginError> {
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
            LinkedComponent::Resolver(Box::new(made.map_err(of_role(Role::Resolver))?))
        }
        World::Lister => {
            let made = ListerPre::new(component);
            LinkedComponent::Lister(Box::new(made.map_err(of_role(Role::Lister))?))
        }
        World::Runner if part.is_program_runner => {
            let made = ProgramRunnerPre::new(component);
            let made = made.map_err(of_role(Role::ProgramRunner))?;
            LinkedComponent::ProgramRunner(Box::new(made))
        }
        World::Runner => LinkedComponent::Runner {
            batch: match part.batch_kinds.is_empty() {
                true => None,
                false => {
                    let made = BatchRunnerPre::new(component.clone());
                    Some(Box::new(made.map_err(of_role(Role::BatchRunner))?))
                }
            },
            one_task: {
                let made = RunnerPre::new(component);
                Box::new(made.map_err(of_role(Role::Runner))?)
            },
        },
        World::ResultFormat => {
            let made = ResultFormatPre::new(component);
            LinkedComponent::ResultFormat(Box::new(made.map_err(of_role(Role::ResultFormat))?))
        }
        World::Varianter => {
            let made = VarianterPre::new(component);
            LinkedComponent::Varianter(Box::new(made.map_err(of_role(Role::Varianter))?))
        }
        World::Scheduler => {
            let made = SchedulerPre::new(component);
            LinkedComponent::Scheduler(Box::new(made.map_err(of_role(Role::Scheduler))?))
        }
        World::RequirementResolver => {
            let made = RequirementResolverPre::new(component);
            let made = made.map_err(of_role(Role::RequirementResolver))?;
            LinkedComponent::RequirementResolver(Box::new(made))
        }
    })
}

/// Makes instances of each kind of component with the calls of its world.
macro_rules! instances {
    ($($component:ident: dyn $calls:ident;)*) => {$(
        impl Instantiate<dyn $calls> for $component<InstanceState> {
            fn instantiate<'a>(
                &'a self,
                store: &'a mut InstanceStore,
            ) -> Instantiation<'a, dyn $calls> {
                Box::pin(async move {
                    let instance = self.instantiate_async(store).await?;
                    Ok(Box::new(instance) as Box<dyn $calls>)
                })
            }
        }
    )*};
}

instances! {
    ResolverPre: dyn ResolverCalls;
    ListerPre: dyn ListerCalls;
    RunnerPre: dyn RunnerCalls;
    BatchRunnerPre: dyn BatchRunnerCalls;
    ProgramRunnerPre: dyn ProgramRunnerCalls;
    ResultFormatPre: dyn ResultFormatCalls;
    RequirementResolverPre: dyn RequirementResolverCalls;
    SchedulerPre: dyn SchedulerCalls;
    VarianterPre: dyn VarianterCalls;
}
