//! The adapter for world `resolver`: one instance, asked for one reference after the other.

use std::time::Duration;

use super::bindings::resolver::exports::persea::plugin::resolve;
use super::bindings::{resolver, types};
use super::call::within;
use super::catalog::{Catalog, Plugin, Pre};
use super::powers::workspace::Workspace;
use super::state::State;
use super::trap::{answered, explain};
use super::{PluginError, convert};
use crate::model::{Attributes, Runnable};

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

/// A living instance of a resolver.
pub struct Resolver {
    label: String,
    store: wasmtime::Store<State>,
    instance: resolver::Resolver,
    settings: types::Attributes,
    limit: Option<Duration>,
}

impl Resolver {
    /// A fresh instance in a sandbox of its own. `limit` is the longest that it may take for one reference.
    pub async fn new(
        catalog: &Catalog,
        plugin: &Plugin,
        settings: &Attributes,
        limit: Option<Duration>,
    ) -> Result<Self, PluginError> {
        let Pre::Resolver(pre) = &plugin.pre else {
            return Err(plugin.is_no("resolver"));
        };
        let mut store = catalog.store(plugin.label.clone());
        store.data_mut().workspace =
            Some(Workspace::new(catalog.root.clone(), catalog.place.clone()));
        let made = within(&plugin.label, limit, pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| explain(&plugin.label, &mut store, &error))?;
        let settings = convert::to_attributes(settings);
        Ok(Self {
            label: plugin.label.clone(),
            store,
            instance,
            settings,
            limit,
        })
    }

    /// Asks for one reference. After an error other than `Answer` the instance is of no more use.
    pub async fn resolve(&mut self, reference: &str) -> Result<Resolution, PluginError> {
        if let Some(workspace) = &mut self.store.data_mut().workspace {
            workspace.look_at(reference);
        }
        let call = self.instance.persea_plugin_resolve().call_resolve(
            &mut self.store,
            reference,
            &self.settings,
        );
        let answer = within(&self.label, self.limit, call).await?;
        Ok(match answered(&self.label, &mut self.store, answer)? {
            resolve::Resolution::Found(runnables) => {
                Resolution::Found(runnables.into_iter().map(convert::runnable).collect())
            }
            resolve::Resolution::NotFound(why) => Resolution::NotFound(why),
            resolve::Resolution::Corrupt(what) => Resolution::Corrupt(what),
        })
    }
}
