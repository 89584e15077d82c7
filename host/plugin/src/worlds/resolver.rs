//! The adapter for world `resolver`: one instance resolves one reference after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use super::bindings::resolver::Resolver as Instance;
use super::bindings::resolver::exports::persea::plugin::resolve;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{MESSAGE, answer, failure};
use crate::instance::log::{Log, LogLevel, write_to_host_log};
use crate::instance::state::InstanceState;
use crate::powers::workspace::Workspace;
use crate::worlds::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::names::shortened;
use persea_model::{Attributes, Runnable};

/// A resolver's answer about a reference.
#[derive(Debug)]
pub enum Resolution {
    /// The reference stands for these runnables.
    Found(Vec<Runnable>),
    /// The resolver does not handle the reference, for this reason.
    NotFound(String),
    /// The resolver handles the reference, but what it names is broken in this way.
    Corrupt(String),
}

/// The messages of levels `warn` and `error` of the current call; none while no call has begun.
type Warnings = Arc<Mutex<Option<Vec<String>>>>;

/// An instance of a resolver.
pub struct Resolver {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Instance,
    settings: types::Attributes,
    warnings: Warnings,
}

impl Resolver {
    /// Makes an instance of a resolver.
    pub async fn new(plugin: &Plugin, settings: &Attributes) -> Result<Self, PluginError> {
        let LinkedComponent::Resolver(component) = plugin.linked().await? else {
            return Err(plugin.is_no("resolver"));
        };
        let context = &plugin.context;
        context.check_alive()?;
        let warnings = Warnings::default();
        let (label, sink) = (context.label.clone(), Arc::clone(&warnings));
        let target = Box::new(move |level, message: &str| {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            match (level, sink.as_mut()) {
                (LogLevel::Warn | LogLevel::Error, Some(warnings)) => {
                    warnings.push(shortened(message.to_owned(), MESSAGE));
                }
                (level, _) => write_to_host_log(&label, level, message),
            }
        });
        let log = Log::new(target, &context.limits);
        let mut store = plugin.runtime.store_with_log(context, log);
        store.data_mut().give(plugin.runtime.workspace(context));
        let made = call_in_time(context, component.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        Ok(Self {
            context: Arc::clone(context),
            store,
            instance,
            settings: convert::to_attributes(settings),
            warnings,
        })
    }

    /// Takes the messages of levels `warn` and `error` of the last call: they are warnings about
    /// its reference. Each has at most 2,000 bytes, and the instance's log limits their number.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.sink().take().unwrap_or_default()
    }

    fn sink(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves one reference. `may_read` is whether the resolver may read the file that the
    /// reference names outside of the project too.
    ///
    /// # Errors
    /// After an error other than [`PluginError::Answer`] the instance cannot be called again.
    pub async fn resolve(
        &mut self,
        reference: &str,
        may_read: bool,
    ) -> Result<Resolution, PluginError> {
        self.context.check_alive()?;
        *self.sink() = Some(Vec::new());
        if let Some(workspace) = self.store.data_mut().power_mut::<Workspace>() {
            workspace.set_reference(if may_read { reference } else { "" });
        }
        let call = self.instance.persea_plugin_resolve().call_resolve(
            &mut self.store,
            reference,
            &self.settings,
        );
        let called = call_in_time(&self.context, call).await?;
        Ok(match answer(&self.context, &mut self.store, called)? {
            resolve::Resolution::Found(runnables) => {
                let mut budget = self.context.answer_budget();
                let runnables = runnables.into_iter();
                let runnables = runnables.map(|it| convert::runnable(it, &mut budget));
                let runnables = self.context.within_budget(runnables.collect())?;
                self.context.keep(budget.used())?;
                Resolution::Found(runnables)
            }
            resolve::Resolution::NotFound(why) => Resolution::NotFound(shortened(why, MESSAGE)),
            resolve::Resolution::Corrupt(what) => Resolution::Corrupt(shortened(what, MESSAGE)),
        })
    }
}
