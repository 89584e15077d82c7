//! The adapter for world `varianter`: one instance names the variants of one test after the other.

use std::sync::Arc;

use wasmtime::Store;

use crate::contract::convert;
use crate::contract::data;
use crate::contract::known_keys;
use crate::contract::limits::VARIATIONS;
use crate::contract::variation::variation;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::powers::pages::complete;
use crate::tracks::calls::{VarianterCalls, VaryRequest};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Runnable, Variation};

/// An instance of a varianter. It cannot be called again after an error.
pub struct Varianter {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Box<dyn VarianterCalls>,
    settings: data::Attributes,
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
        let made = call_in_time(context, component.instantiate(&mut store)).await?;
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

    /// Returns the variants of a test: those that it added in pages, then those that it returned.
    /// `parameters` are those of the test's suite; `more` is the host's further data.
    pub async fn vary(
        &mut self,
        runnable: &Runnable,
        parameters: &Attributes,
        more: &Attributes,
    ) -> Result<Vec<Variation>, PluginError> {
        self.context.check_alive()?;
        let request = VaryRequest {
            runnable: convert::to_runnable(runnable),
            parameters: convert::to_attributes(parameters),
            settings: self.settings.clone(),
            more: convert::to_attributes(more),
        };
        self.store.data_mut().begin_pages::<Variation>();
        let call = self.instance.vary(&mut self.store, request);
        let called = call_in_time(&self.context, call).await?;
        let pages = self.store.data_mut().end_pages::<Variation>();
        let answered = answer(&self.context, &mut self.store, called)?;
        self.context
            .log_unknown(&known_keys::VARIATIONS, &answered.more);
        for variation in &answered.variations {
            self.context
                .log_unknown(&known_keys::VARIATION, &variation.more);
        }
        let mut budget = self.context.answer_budget();
        let returned = answered.variations.into_iter();
        let returned = returned.map(|it| variation(it, &mut budget));
        let returned: Vec<Variation> = self.context.within_budget(returned.collect())?;
        complete(&self.context, pages, returned, &VARIATIONS)
    }
}
