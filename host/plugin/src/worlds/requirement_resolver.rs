//! The adapter for world `requirement-resolver`: one fresh instance for one requirement.

use std::sync::Arc;

use wasmtime::Store;

use crate::PluginError;
use crate::contract::bindings::requirement_resolver::RequirementResolver as Instance;
use crate::contract::bindings::requirement_resolver::exports::persea::plugin::fulfil;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{answered, explain};
use crate::powers::fetch::FetchPower;
use crate::powers::task::TaskHost;
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Requirement};

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Present,
    /// It is not there, and can be brought about.
    Absent,
    /// It is not there, and can't be.
    Impossible,
}

/// A living instance of a requirement resolver, for one requirement. The futures of its calls may be dropped at any time: then
/// the instance is of no more use, and what is left in the environment is the caller's to end.
pub struct RequirementResolver {
    terms: Arc<Terms>,
    store: Store<State>,
    instance: Instance,
    request: fulfil::Request,
}

impl RequirementResolver {
    /// A fresh instance in a sandbox of its own.
    pub async fn new(
        catalog: &Catalog,
        plugin: &Plugin,
        requirement: &Requirement,
        settings: &Attributes,
        more: &Attributes,
        host: Arc<dyn TaskHost>,
    ) -> Result<Self, PluginError> {
        let Pre::RequirementResolver(pre) = catalog.linked(plugin).await? else {
            return Err(plugin.is_no("requirement resolver"));
        };
        let mut store = catalog.task_store(&plugin.terms, host);
        store.data_mut().fetch = Some(FetchPower::new(catalog.downloads_of(plugin)));
        store.data_mut().cache = catalog.cache_of(plugin);
        let made = pre.instantiate_async(&mut store).await;
        let instance = made.map_err(|error| explain(&plugin.terms, &mut store, &error))?;
        Ok(Self {
            terms: Arc::clone(&plugin.terms),
            store,
            instance,
            request: fulfil::Request {
                requirement: convert::to_requirement(requirement),
                settings: convert::to_attributes(settings),
                more: convert::to_attributes(more),
            },
        })
    }

    /// Looks whether it is met.
    pub async fn check(&mut self) -> Result<Presence, PluginError> {
        self.terms.check()?;
        let calls = self.instance.persea_plugin_fulfil();
        let answer = calls.call_check(&mut self.store, &self.request).await;
        self.answer(answer).map(|presence| match presence {
            fulfil::Presence::Present => Presence::Present,
            fulfil::Presence::Absent => Presence::Absent,
            fulfil::Presence::Impossible => Presence::Impossible,
        })
    }

    /// Brings it about, and says what it takes to undo that.
    pub async fn fulfil(&mut self) -> Result<Attributes, PluginError> {
        self.terms.check()?;
        let calls = self.instance.persea_plugin_fulfil();
        let answer = calls.call_fulfil(&mut self.store, &self.request).await;
        let fulfilled = self.answer(answer)?;
        let mut room = self.terms.room();
        let fulfilled = convert::attributes(fulfilled, &mut room);
        let fulfilled = self.terms.fitting(fulfilled)?;
        self.terms.keep(room.used())?;
        Ok(fulfilled)
    }

    /// Undoes what [`Self::fulfil`] has done. That is tried however often the plugin has died.
    pub async fn release(&mut self, fulfilled: &Attributes) -> Result<(), PluginError> {
        let fulfilled = convert::to_attributes(fulfilled);
        let calls = self.instance.persea_plugin_fulfil();
        let answer = calls
            .call_release(&mut self.store, &self.request, &fulfilled)
            .await;
        self.answer(answer)
    }

    fn answer<T>(
        &mut self,
        answer: wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T, PluginError> {
        answered(&self.terms, &mut self.store, answer)
    }
}
