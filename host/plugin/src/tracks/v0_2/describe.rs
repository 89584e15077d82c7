//! Owns the call in which a component of the track 0.2 describes itself, whatever it is.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::bindings::types::DescribeRequest;
use super::exports::batch_runner::BatchRunner;
use super::exports::described::{Described, DescribedPre};
use super::exports::lister::Lister;
use super::exports::program_runner::ProgramRunner;
use super::exports::requirement_resolver::RequirementResolver;
use super::exports::resolver::Resolver;
use super::exports::result_format::ResultFormat;
use super::exports::runner::Runner;
use super::exports::scheduler::Scheduler;
use super::exports::varianter::Varianter;
use crate::contract::description::Description;
use crate::contract::world::Role;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::failure;
use crate::instance::state::InstanceState;

/// Asks a component for its description, in an instance of its own. Before that, checks the types
/// of the functions that the component exports for its roles: a wrong one would otherwise show at
/// the first call, in the middle of a job.
pub(crate) async fn describe(
    context: &PluginContext,
    mut store: Store<InstanceState>,
    component: InstancePre<InstanceState>,
    exported: &[Role],
) -> Result<Description, PluginError> {
    DescribedPre::new(component.clone())
        .map_err(|error| PluginError::cannot_load(&context.label, &error))?;
    let mut misfit = None;
    let answer = call_in_time(context, async {
        let instance = component.instantiate_async(&mut store).await?;
        misfit = exported.iter().find_map(|role| {
            let error = check_role(*role, &mut store, &instance).err()?;
            Some((*role, error))
        });
        let described = Described::new(&mut store, &instance)?;
        let calls = described.persea_plugin_plugin();
        let request = DescribeRequest {
            contract: super::TRACK.newest.to_string(),
            more: Vec::new(),
        };
        calls.call_describe(&mut store, &request).await
    });
    let answer = answer.await?;
    if let Some((role, error)) = misfit {
        return Err(PluginError::Role {
            plugin: context.label.clone(),
            role: role.name(),
            message: format!("{error:#}"),
        });
    }
    match answer {
        Ok(description) => context.within_budget(Description::new(
            description.into(),
            &mut context.answer_budget(),
        )),
        Err(error) => Err(failure(context, &mut store, &error)),
    }
}

/// Checks that an instance has the functions of a role, with the types of the contract.
fn check_role(
    role: Role,
    store: &mut Store<InstanceState>,
    instance: &Instance,
) -> wasmtime::Result<()> {
    match role {
        Role::Resolver => Resolver::new(store, instance).map(drop),
        Role::Lister => Lister::new(store, instance).map(drop),
        Role::Runner => Runner::new(store, instance).map(drop),
        Role::BatchRunner => BatchRunner::new(store, instance).map(drop),
        Role::ProgramRunner => ProgramRunner::new(store, instance).map(drop),
        Role::RequirementResolver => RequirementResolver::new(store, instance).map(drop),
        Role::Scheduler => Scheduler::new(store, instance).map(drop),
        Role::Varianter => Varianter::new(store, instance).map(drop),
        Role::ResultFormat => ResultFormat::new(store, instance).map(drop),
    }
}
