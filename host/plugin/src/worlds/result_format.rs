//! The adapter for world `result-format`: one instance takes a job's events from the first to the
//! last.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use wasmtime::Store;

use crate::contract::convert;
use crate::contract::data;
use crate::contract::json_text::ToContract;
use crate::contract::limits;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::powers::artifacts::JobFiles;
use crate::powers::report_output::{ReportPower, ReportTarget};
use crate::tracks::calls::{Called, JournalEvent, ResultFormatCalls};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_journal::Line;
use persea_model::{Attribute, Attributes};

/// The most events in one call of a format.
pub const EVENT_PAGE: usize = limits::EVENT_PAGE.most;

/// An event in the contract's form.
pub struct FormatEvent(JournalEvent);

impl From<Line<Attributes>> for FormatEvent {
    fn from(line: Line<Attributes>) -> Self {
        let data = line.data.into_iter();
        Self(JournalEvent {
            kind: line.event,
            time: line.time,
            task: line.task,
            data: data
                .map(|(name, value)| (name, open_value(value)))
                .collect(),
        })
    }
}

impl From<Line<FormatData>> for FormatEvent {
    fn from(line: Line<FormatData>) -> Self {
        Self(JournalEvent {
            kind: line.event,
            time: line.time,
            task: line.task,
            data: line.data.0,
        })
    }
}

/// The data of a journal's line, which is read straight into the contract's form.
#[derive(Default)]
pub struct FormatData(data::Attributes);

impl FormatData {
    /// Replaces all settings of the event by those that a format has declared. What another host
    /// needs to take the job over is for hosts only: it names plugins, files and grants.
    pub fn restrict_settings(&mut self, settings: &Attributes) {
        self.0
            .retain(|(name, _)| name != "settings" && name != "take-over");
        let text = Attribute::from(settings.clone()).to_string();
        self.0.push(("settings".into(), data::Value::Json(text)));
    }
}

impl<'de> Deserialize<'de> for FormatData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = FormatData;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FormatData, A::Error> {
                let mut data = Vec::with_capacity(16);
                while let Some(name) = map.next_key::<String>()? {
                    data.push((name, map.next_value_seed(ToContract)?));
                }
                Ok(FormatData(data))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Converts a value into the contract's form. A text is not copied.
fn open_value(value: Attribute) -> data::Value {
    match value {
        Attribute::Text(text) => data::Value::Text(text),
        other => (&other).into(),
    }
}

/// An instance of a result format.
pub struct ResultFormat {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Box<dyn ResultFormatCalls>,
}

impl ResultFormat {
    /// Makes an instance that writes to `target` and may read the tests' files below `job_dir`, and
    /// starts its report.
    pub async fn start(
        plugin: &Plugin,
        settings: &Attributes,
        target: ReportTarget,
        job_dir: &Path,
    ) -> Result<Self, PluginError> {
        let LinkedComponent::ResultFormat(component) = plugin.linked().await? else {
            return Err(plugin.is_no("result format"));
        };
        let context = &plugin.context;
        let mut store = plugin.runtime.store(context);
        let state = store.data_mut();
        let most_bytes = context.limits.report_bytes;
        state.give(ReportPower::new(plugin.label(), target, most_bytes));
        state.give(JobFiles::new(job_dir.to_path_buf()));
        let made = call_in_time(context, component.instantiate(&mut store)).await?;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        let mut format = Self {
            context: Arc::clone(context),
            store,
            instance,
        };
        let settings = convert::to_attributes(settings);
        let call = format.instance.start_report(&mut format.store, settings);
        let called = call_in_time(&format.context, call).await?;
        format.done(called)?;
        Ok(format)
    }

    /// Gives the format the next events, at most [`EVENT_PAGE`]. The instance cannot be called
    /// again after an error.
    pub async fn handle(&mut self, events: Vec<FormatEvent>) -> Result<(), PluginError> {
        let events = events.into_iter().map(|event| event.0).collect();
        let call = self.instance.handle(&mut self.store, events);
        let called = call_in_time(&self.context, call).await?;
        self.done(called)
    }

    /// Completes the report. `complete` is whether the job came to its end.
    pub async fn finish(mut self, complete: bool) -> Result<(), PluginError> {
        let call = self.instance.finish_report(&mut self.store, complete);
        let called = call_in_time(&self.context, call).await?;
        self.done(called)
    }

    fn done(&mut self, called: Called<data::Done>) -> Result<(), PluginError> {
        let answer = answer(&self.context, &mut self.store, called);
        answer.map(|data::Done { more: _ }| ())
    }
}
