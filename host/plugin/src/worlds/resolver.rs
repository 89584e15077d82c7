//! The adapter for world `resolver`: one instance, asked for one reference after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::PluginError;
use crate::contract::bindings::resolver::exports::persea::plugin::resolve;
use crate::contract::bindings::{resolver, types};
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::find::loader::to_own_log;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{MESSAGE, answered, explain};
use crate::powers::log::Level;
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_model::names::shortened;
use persea_model::{Attributes, Runnable};

/// What became of a reference.
#[derive(Debug)]
pub enum Resolution {
    /// These are its runnables.
    Found(Vec<Runnable>),
    /// It is not this resolver's, for a reason.
    NotFound(String),
    /// It is this resolver's, but broken.
    Corrupt(String),
}

/// What a resolver has logged at the levels `warn` and `error` since it was asked; none while it is not asked.
type Warnings = Arc<Mutex<Option<Vec<String>>>>;

/// A living instance of a resolver.
pub struct Resolver {
    terms: Arc<Terms>,
    store: wasmtime::Store<State>,
    instance: resolver::Resolver,
    settings: types::Attributes,
    warnings: Warnings,
}

impl Resolver {
    /// A fresh instance in a sandbox of its own.
    pub async fn new(
        catalog: &Catalog,
        plugin: &Plugin,
        settings: &Attributes,
    ) -> Result<Self, PluginError> {
        let Pre::Resolver(pre) = catalog.linked(plugin).await? else {
            return Err(plugin.is_no("resolver"));
        };
        plugin.terms.check()?;
        let warnings = Warnings::default();
        let (label, sink) = (plugin.terms.label.clone(), Arc::clone(&warnings));
        let target = move |level: Level, message: &str| {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            match (level, sink.as_mut()) {
                (Level::Warn | Level::Error, Some(warnings)) => {
                    warnings.push(shortened(message.to_owned(), MESSAGE));
                }
                (level, _) => to_own_log(&label, level, message),
            }
        };
        let mut store = catalog.loader().store_with(&plugin.terms, Box::new(target));
        store.data_mut().workspace = Some(catalog.workspace(plugin));
        let made = within(&plugin.terms, pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| explain(&plugin.terms, &mut store, &error))?;
        let settings = convert::to_attributes(settings);
        Ok(Self {
            terms: Arc::clone(&plugin.terms),
            store,
            instance,
            settings,
            warnings,
        })
    }

    /// Takes the messages that the resolver has logged at the levels `warn` and `error` since it was last asked: they are warnings
    /// about that reference. Each has at most 2,000 bytes; their number is limited as that of all messages of an instance.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.sink().take().unwrap_or_default()
    }

    fn sink(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one reference; `may_read` is whether it may read the file that the reference names also outside of the project. After an error other than `Answer` the instance is of no more use.
    pub async fn resolve(
        &mut self,
        reference: &str,
        may_read: bool,
    ) -> Result<Resolution, PluginError> {
        self.terms.check()?;
        *self.sink() = Some(Vec::new());
        if let Some(workspace) = &mut self.store.data_mut().workspace {
            workspace.look_at(if may_read { reference } else { "" });
        }
        let call = self.instance.persea_plugin_resolve().call_resolve(
            &mut self.store,
            reference,
            &self.settings,
        );
        let answer = within(&self.terms, call).await?;
        Ok(match answered(&self.terms, &mut self.store, answer)? {
            resolve::Resolution::Found(runnables) => {
                let mut room = self.terms.room();
                let runnables = runnables.into_iter();
                let runnables = runnables.map(|it| convert::runnable(it, &mut room));
                let runnables = self.terms.fitting(runnables.collect())?;
                self.terms.keep(room.used())?;
                Resolution::Found(runnables)
            }
            resolve::Resolution::NotFound(why) => Resolution::NotFound(shortened(why, MESSAGE)),
            resolve::Resolution::Corrupt(what) => Resolution::Corrupt(shortened(what, MESSAGE)),
        })
    }
}
