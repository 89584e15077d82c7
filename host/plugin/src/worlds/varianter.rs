//! The adapter for world `varianter`: one instance names the variants of one test after the other.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::varianter::Varianter as Instance;
use super::bindings::varianter::exports::persea::plugin::vary;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::worlds::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Runnable};

/// An instance of a varianter. It cannot be called again after an error.
pub struct Varianter {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Instance,
    settings: types::Attributes,
}

impl Varianter {
    /// Makes an instance of a varianter.
    pub async fn new(plugin: &Plugin, settings: &Attributes) -> Result<Self, PluginError> {
        let LinkedComponent::Varianter(component) = plugin.linked().await? else {
            return Err(plugin.is_no("varianter"));
        };
        let context = &plugin.context;
        context.check_alive()?;
        let mut store = plugin.runtime.store(context);
        store.data_mut().give(plugin.runtime.workspace(context));
        let made = call_in_time(context, component.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        Ok(Self {
            context: Arc::clone(context),
            store,
            instance,
            settings: convert::to_attributes(settings),
        })
    }

    /// Returns the plugin's name in messages.
    pub fn label(&self) -> &str {
        &self.context.label
    }

    /// Returns the variants of a test, as the parameters of each. `parameters` are those of the
    /// test's suite; `more` is the host's further data.
    pub async fn vary(
        &mut self,
        runnable: &Runnable,
        parameters: &Attributes,
        more: &Attributes,
    ) -> Result<Vec<Attributes>, PluginError> {
        let request = vary::Request {
            runnable: convert::to_runnable(runnable),
            parameters: convert::to_attributes(parameters),
            settings: self.settings.clone(),
            more: convert::to_attributes(more),
        };
        let calls = self.instance.persea_plugin_vary();
        let call = calls.call_vary(&mut self.store, &request);
        let called = call_in_time(&self.context, call).await?;
        let variants = answer(&self.context, &mut self.store, called)?;
        let mut budget = self.context.answer_budget();
        let variants = variants.into_iter();
        let parameters = variants.map(|it| convert::attributes(it.parameters, &mut budget));
        self.context.within_budget(parameters.collect())
    }
}
