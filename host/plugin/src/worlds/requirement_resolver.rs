//! The adapter for world `requirement-resolver`: one instance for one requirement.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::requirement_resolver::RequirementResolver as Instance;
use super::bindings::requirement_resolver::exports::persea::plugin::fulfil;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::powers::task::TaskHost;
use crate::worlds::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Requirement};

/// The result of checking a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The requirement is met.
    Present,
    /// The requirement is not met, and can be fulfilled.
    Absent,
    /// The requirement is not met, and cannot be fulfilled.
    Impossible,
}

/// An instance of a requirement resolver, for one requirement. The futures of its calls may be
/// dropped at any time. Then the instance cannot be called again, and the caller has to end what is
/// left in the environment.
pub struct RequirementResolver {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Instance,
    request: fulfil::Request,
}

impl RequirementResolver {
    /// Makes an instance of a requirement resolver.
    pub async fn new(
        plugin: &Plugin,
        requirement: &Requirement,
        settings: &Attributes,
        more: &Attributes,
        host: Arc<dyn TaskHost>,
    ) -> Result<Self, PluginError> {
        let LinkedComponent::RequirementResolver(component) = plugin.linked().await? else {
            return Err(plugin.is_no("requirement resolver"));
        };
        let (runtime, context) = (&plugin.runtime, &plugin.context);
        let mut store = runtime.task_store(context, host);
        let state = store.data_mut();
        state.give(runtime.downloads(plugin.trust, context));
        if let Some(cache) = plugin.cache() {
            state.give(cache);
        }
        let made = component.instantiate_async(&mut store).await;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        Ok(Self {
            context: Arc::clone(context),
            store,
            instance,
            request: fulfil::Request {
                requirement: convert::to_requirement(requirement),
                settings: convert::to_attributes(settings),
                more: convert::to_attributes(more),
            },
        })
    }

    /// Checks whether the requirement is met.
    pub async fn check(&mut self) -> Result<Presence, PluginError> {
        self.context.check_alive()?;
        let calls = self.instance.persea_plugin_fulfil();
        let called = calls.call_check(&mut self.store, &self.request).await;
        self.answer(called).map(|presence| match presence {
            fulfil::Presence::Present => Presence::Present,
            fulfil::Presence::Absent => Presence::Absent,
            fulfil::Presence::Impossible => Presence::Impossible,
        })
    }

    /// Fulfils the requirement, and returns what [`Self::release`] needs.
    pub async fn fulfil(&mut self) -> Result<Attributes, PluginError> {
        self.context.check_alive()?;
        let calls = self.instance.persea_plugin_fulfil();
        let called = calls.call_fulfil(&mut self.store, &self.request).await;
        let fulfilled = self.answer(called)?;
        let mut budget = self.context.answer_budget();
        let fulfilled = convert::attributes(fulfilled, &mut budget);
        let fulfilled = self.context.within_budget(fulfilled)?;
        self.context.keep(budget.used())?;
        Ok(fulfilled)
    }

    /// Undoes what [`Self::fulfil`] has done. The host tries that however often the plugin has
    /// trapped or reached a limit.
    pub async fn release(&mut self, fulfilled: &Attributes) -> Result<(), PluginError> {
        let fulfilled = convert::to_attributes(fulfilled);
        let calls = self.instance.persea_plugin_fulfil();
        let called = calls
            .call_release(&mut self.store, &self.request, &fulfilled)
            .await;
        self.answer(called)
    }

    fn answer<T>(
        &mut self,
        called: wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T, PluginError> {
        answer(&self.context, &mut self.store, called)
    }
}
