//! The adapter for world `resolver`: one instance, asked for one reference after the other.

use std::time::Duration;

use super::bindings::resolver::exports::persea::plugin::resolve;
use super::bindings::{resolver, types};
use super::call::within;
use super::catalog::{Catalog, Plugin, Pre};
use super::powers::workspace::Workspace;
use super::state::State;
use super::trap::explain;
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
            return Err(PluginError::Load {
                plugin: plugin.label.clone(),
                message: "it is no resolver".into(),
            });
        };
        let mut store = catalog.store(plugin.label.clone());
        store.data_mut().workspace =
            Some(Workspace::new(catalog.root.clone(), catalog.place.clone()));
        let made = within(&plugin.label, limit, pre.instantiate_async(&mut store)).await?;
        let instance = match made {
            Ok(instance) => instance,
            Err(error) => return Err(explain(&plugin.label, &mut store, &error)),
        };
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
        self.store.data_mut().drain_output();
        match answer {
            Ok(Ok(resolve::Resolution::Found(runnables))) => Ok(Resolution::Found(
                runnables.into_iter().map(convert::runnable).collect(),
            )),
            Ok(Ok(resolve::Resolution::NotFound(why))) => Ok(Resolution::NotFound(why)),
            Ok(Ok(resolve::Resolution::Corrupt(what))) => Ok(Resolution::Corrupt(what)),
            Ok(Err(error)) => Err(PluginError::Answer {
                plugin: self.label.clone(),
                code: error.code,
                message: error.message,
            }),
            Err(error) => Err(explain(&self.label, &mut self.store, &error)),
        }
    }
}
