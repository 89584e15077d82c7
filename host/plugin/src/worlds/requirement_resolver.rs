//! The adapter for world `requirement-resolver`: one instance for one requirement.

use std::sync::Arc;

use wasmtime::Store;

use crate::contract::convert;
use crate::contract::data::Value;
use crate::contract::known_keys::{CHECKED_REQUIREMENT, DONE, FULFILLED_REQUIREMENT};
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::failure::{MESSAGE, answer, failure};
use crate::instance::state::InstanceState;
use crate::powers::monotonic_clock::CallClock;
use crate::powers::task::TaskHost;
use crate::tracks::calls::{
    Called, RequirementRequest, RequirementResolverCalls, RequirementState,
};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::names::shortened;
use persea_model::{Attribute, Attributes, Requirement};

/// The result of checking a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The requirement is met.
    Present,
    /// The requirement is not met, and can be fulfilled.
    Absent,
    /// The requirement is not met, and cannot be fulfilled, for this reason.
    Impossible(Option<String>),
}

/// A fulfilled requirement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fulfilled {
    /// What [`RequirementResolver::release`] needs.
    pub undo: Attributes,
    /// The environment variables for the tasks that have the requirement, sorted by name.
    pub env: Vec<(String, String)>,
}

/// An instance of a requirement resolver, for one requirement. The futures of its calls may be
/// dropped at any time. Then the instance cannot be called again, and the caller has to end what is
/// left in the environment.
pub struct RequirementResolver {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Box<dyn RequirementResolverCalls>,
    request: RequirementRequest,
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
        let downloads = runtime.downloads(plugin.trust, context, host.is_isolated());
        let mut store = runtime.task_store(context, host);
        let state = store.data_mut();
        state.give(downloads);
        if let Some(cache) = plugin.cache() {
            state.give(cache);
        }
        let made = component.instantiate(&mut store).await;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        Ok(Self {
            context: Arc::clone(context),
            store,
            instance,
            request: RequirementRequest {
                requirement: convert::to_requirement(requirement),
                settings: convert::to_attributes(settings),
                more: convert::to_attributes(more),
            },
        })
    }

    /// Checks whether the requirement is met.
    pub async fn check(&mut self) -> Result<Presence, PluginError> {
        self.context.check_alive()?;
        self.start_clock();
        let call = self.instance.check(&mut self.store, self.request.clone());
        let called = call.await;
        let checked = self.answer(called)?;
        self.context
            .log_unknown(&CHECKED_REQUIREMENT, &checked.more);
        Ok(match checked.state {
            RequirementState::Present => Presence::Present,
            RequirementState::Absent => Presence::Absent,
            RequirementState::Impossible => {
                let mut budget = self.context.answer_budget();
                let more = convert::attributes(checked.more, &mut budget);
                let mut more = self.context.within_budget(more)?;
                let reason = more.remove("reason").and_then(Attribute::into_text);
                Presence::Impossible(reason.map(|reason| shortened(reason, MESSAGE)))
            }
        })
    }

    /// Fulfils the requirement, and returns what [`Self::release`] needs.
    pub async fn fulfil(&mut self) -> Result<Fulfilled, PluginError> {
        self.context.check_alive()?;
        self.start_clock();
        let call = self.instance.fulfil(&mut self.store, self.request.clone());
        let called = call.await;
        let fulfilled = self.answer(called)?;
        self.context
            .log_unknown(&FULFILLED_REQUIREMENT, &fulfilled.more);
        let mut budget = self.context.answer_budget();
        let undo = convert::attributes(fulfilled.undo, &mut budget);
        let undo = undo.map_err(|error| error.within("undo"));
        let undo = self.context.within_budget(undo)?;
        let more = convert::attributes(fulfilled.more, &mut budget);
        let more = more.map_err(|error| error.within("more"));
        let more = self.context.within_budget(more)?;
        let env = env(&more).map_err(|message| self.context.invalid(message))?;
        self.context.keep(budget.used())?;
        Ok(Fulfilled { undo, env })
    }

    /// Undoes what [`Self::fulfil`] has done. `undo` is what it returned, or none if the host never
    /// got to know that; `fulfilled_by` is the version of the plugin that did it. The host tries
    /// that however often the plugin has trapped or reached a limit.
    pub async fn release(
        &mut self,
        undo: Option<&Attributes>,
        fulfilled_by: Option<&str>,
    ) -> Result<(), PluginError> {
        let undo = undo.map(convert::to_attributes);
        let by = fulfilled_by.map(|version| Value::Text(version.to_owned()));
        let by = by.map(|version| ("fulfilled-by".to_owned(), version));
        let more = by.into_iter().collect();
        self.start_clock();
        let request = self.request.clone();
        let call = self.instance.release(&mut self.store, request, undo, more);
        let called = call.await;
        let done = self.answer(called)?;
        self.context.log_unknown(&DONE, &done.more);
        Ok(())
    }

    /// Starts the clock of the next call.
    fn start_clock(&mut self) {
        self.store.data_mut().give(CallClock::start(None));
    }

    fn answer<T>(&mut self, called: Called<T>) -> Result<T, PluginError> {
        answer(&self.context, &mut self.store, called)
    }
}

/// Returns the environment variables of a fulfilled requirement.
fn env(more: &Attributes) -> Result<Vec<(String, String)>, String> {
    let Some(env) = more.get("env").filter(|env| !env.is_null()) else {
        return Ok(Vec::new());
    };
    let members = env.members();
    let members =
        members.ok_or_else(|| format!("`env` is {env}, and must be an object of texts"))?;
    let text = |(name, value): (String, Attribute)| match value {
        Attribute::Text(text) => Ok((name, text)),
        Attribute::Null | Attribute::Boolean(_) | Attribute::Number(_) | Attribute::Json(_) => Err(
            format!("the variable `{name}` in `env` is {value}, and must be a text"),
        ),
    };
    members.into_iter().map(text).collect()
}
