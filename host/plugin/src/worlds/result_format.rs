//! The adapter for world `result-format`: one instance that takes a job's events from the first to the last.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::PluginError;
use crate::contract::bindings::result_format::exports::persea::plugin::format;
use crate::contract::bindings::{result_format, types};
use crate::contract::json_text::ToContract;
use crate::find::catalog::Catalog;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{answered, explain};
use crate::powers::output::{OutputPower, ReportTarget};
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_journal::Line;
use persea_model::Attributes;

/// An event as formats take it.
pub struct FormatEvent(format::Event);

impl From<Line<Attributes>> for FormatEvent {
    fn from(line: Line<Attributes>) -> Self {
        let data = line.data.into_iter();
        Self(format::Event {
            kind: line.event,
            time: line.time,
            task: line.task,
            data: data
                .map(|(name, value)| (name, open_value(value)))
                .collect(),
        })
    }
}

impl From<Line<Data>> for FormatEvent {
    fn from(line: Line<Data>) -> Self {
        Self(format::Event {
            kind: line.event,
            time: line.time,
            task: line.task,
            data: line.data.0,
        })
    }
}

/// What a line of the journal says, read straight into the contract's form.
#[derive(Default)]
pub struct Data(types::Attributes);

impl Data {
    /// Puts the settings that a format declared in the place of all.
    pub fn restrict_settings(&mut self, settings: &Attributes) {
        self.0.retain(|(name, _)| name != "settings");
        let text = serde_json::Value::Object(settings.clone()).to_string();
        self.0.push(("settings".into(), types::Value::Json(text)));
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Data;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut data = Vec::with_capacity(16);
                while let Some(name) = map.next_key::<String>()? {
                    data.push((name, map.next_value_seed(ToContract)?));
                }
                Ok(Data(data))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A value in the contract's form. A text is not copied.
fn open_value(value: serde_json::Value) -> types::Value {
    match value {
        serde_json::Value::String(text) => types::Value::Text(text),
        other => (&other).into(),
    }
}

/// A living instance of a result format.
pub struct ResultFormat {
    terms: Arc<Terms>,
    store: wasmtime::Store<State>,
    instance: result_format::ResultFormat,
}

impl ResultFormat {
    /// A fresh instance that writes to `target` and may read the tests' files below `job_dir`.
    pub async fn new(
        catalog: &Catalog,
        plugin: &Plugin,
        target: ReportTarget,
        job_dir: &Path,
    ) -> Result<Self, PluginError> {
        let Pre::ResultFormat(pre) = catalog.linked(plugin).await? else {
            return Err(plugin.is_no("result format"));
        };
        let mut store = catalog.loader().store(&plugin.terms);
        store.data_mut().output = Some(OutputPower {
            name: plugin.label().to_owned(),
            target,
            job_dir: job_dir.to_path_buf(),
            results: None,
            opened: false,
            bytes_left: plugin.terms.limits.output_bytes,
        });
        let made = within(&plugin.terms, pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| explain(&plugin.terms, &mut store, &error))?;
        Ok(Self {
            terms: Arc::clone(&plugin.terms),
            store,
            instance,
        })
    }

    /// Gives it the next events. After an error it is of no more use.
    pub async fn handle(&mut self, events: Vec<FormatEvent>) -> Result<(), PluginError> {
        let events: Vec<format::Event> = events.into_iter().map(|event| event.0).collect();
        let call = self
            .instance
            .persea_plugin_format()
            .call_handle(&mut self.store, &events);
        let answer = within(&self.terms, call).await?;
        answered(&self.terms, &mut self.store, answer)
    }
}
