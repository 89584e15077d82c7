//! The adapter for world `varianter`: one instance, asked for the variants of one test after the other.

use std::sync::Arc;

use crate::PluginError;
use crate::contract::bindings::types;
use crate::contract::bindings::varianter::Varianter as Instance;
use crate::contract::bindings::varianter::exports::persea::plugin::vary;
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{answered, explain};
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Runnable};

/// A living instance of a varianter. After an error it is of no more use.
pub struct Varianter {
    terms: Arc<Terms>,
    store: wasmtime::Store<State>,
    instance: Instance,
    settings: types::Attributes,
}

impl Varianter {
    /// A fresh instance in a sandbox of its own.
    pub async fn new(
        catalog: &Catalog,
        plugin: &Plugin,
        settings: &Attributes,
    ) -> Result<Self, PluginError> {
        let Pre::Varianter(pre) = catalog.linked(plugin).await? else {
            return Err(plugin.is_no("varianter"));
        };
        plugin.terms.check()?;
        let mut store = catalog.loader().store(&plugin.terms);
        store.data_mut().workspace = Some(catalog.workspace(plugin));
        let made = within(&plugin.terms, pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| explain(&plugin.terms, &mut store, &error))?;
        Ok(Self {
            terms: Arc::clone(&plugin.terms),
            store,
            instance,
            settings: convert::to_attributes(settings),
        })
    }

    /// The plugin in messages.
    pub fn label(&self) -> &str {
        &self.terms.label
    }

    /// Asks for the variants of a test: the parameters of each. `parameters` are those of its suite, `more` is what the host says
    /// beside them.
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
        let answer = within(&self.terms, call).await?;
        let variants = answered(&self.terms, &mut self.store, answer)?;
        let mut room = self.terms.room();
        let variants = variants.into_iter();
        let parameters = variants.map(|it| convert::attributes(it.parameters, &mut room));
        self.terms.fitting(parameters.collect())
    }
}
