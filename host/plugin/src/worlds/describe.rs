//! Owns the call in which a component describes itself, whatever it is.

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::described::DescribedPre;
use crate::contract::bindings::types::DescribeRequest;
use crate::contract::description::Description;
use crate::contract::world::CONTRACT;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::failure;
use crate::instance::state::InstanceState;

/// Asks a component for its description, in an instance of its own.
pub(crate) async fn describe(
    context: &PluginContext,
    mut store: Store<InstanceState>,
    component: InstancePre<InstanceState>,
) -> Result<Description, PluginError> {
    let component = DescribedPre::new(component)
        .map_err(|error| PluginError::cannot_load(&context.label, &error))?;
    let answer = call_in_time(context, async {
        let instance = component.instantiate_async(&mut store).await?;
        let calls = instance.persea_plugin_plugin();
        let request = DescribeRequest {
            contract: CONTRACT.to_owned(),
            more: Vec::new(),
        };
        calls.call_describe(&mut store, &request).await
    });
    match answer.await? {
        Ok(description) => {
            context.within_budget(Description::new(description, &mut context.answer_budget()))
        }
        Err(error) => Err(failure(context, &mut store, &error)),
    }
}
