//! The adapter for world `resolver`: one instance resolves one reference after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use crate::contract::convert;
use crate::contract::data;
use crate::contract::known_keys::RESOLUTION;
use crate::contract::limits::RUNNABLES;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{MESSAGE, answer, failure};
use crate::instance::log::{Log, LogLevel, write_to_host_log};
use crate::instance::state::InstanceState;
use crate::powers::pages::{Pages, SharedEquals, complete};
use crate::powers::workspace::Workspace;
use crate::tracks::calls::{Finding, ResolveRequest, ResolverCalls};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::names::shortened;
use persea_model::{Attribute, Attributes, Runnable};

/// A resolver's answer about a reference.
#[derive(Debug)]
pub enum Resolution {
    /// The reference stands for these runnables. With `depends_on`, the paths of the files from
    /// which the answer was made, it can be kept until one of them changes.
    Found {
        /// The runnables: those that the resolver added in pages, then those that it returned.
        runnables: Vec<Arc<Runnable>>,
        /// Paths of files; none where the resolver says none.
        depends_on: Option<Vec<String>>,
    },
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
    instance: Box<dyn ResolverCalls>,
    settings: data::Attributes,
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
        let made = call_in_time(context, component.instantiate(&mut store)).await?;
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
        let request = ResolveRequest {
            reference: reference.to_owned(),
            settings: self.settings.clone(),
        };
        self.store.data_mut().begin_pages::<Arc<Runnable>>();
        let call = self.instance.resolve(&mut self.store, request);
        let called = call_in_time(&self.context, call).await?;
        let pages = self.store.data_mut().end_pages::<Arc<Runnable>>();
        let resolution = answer(&self.context, &mut self.store, called)?;
        self.context.log_unknown(&RESOLUTION, &resolution.more);
        Ok(match resolution.finding {
            Finding::Found(returned) => {
                let (runnables, more) =
                    runnables_of(&self.context, pages, returned, resolution.more)?;
                Resolution::Found {
                    runnables,
                    depends_on: depends_on(&more),
                }
            }
            Finding::NotFound(why) => Resolution::NotFound(shortened(why, MESSAGE)),
            Finding::Corrupt(what) => Resolution::Corrupt(shortened(what, MESSAGE)),
        })
    }
}

/// Returns the runnables of an answer, those of its pages first, and its further data. What they
/// take of the host's memory is kept until the job ends.
pub(super) fn runnables_of(
    context: &PluginContext,
    pages: Option<Pages<Arc<Runnable>>>,
    returned: Vec<data::Runnable>,
    more: data::Attributes,
) -> Result<(Vec<Arc<Runnable>>, Attributes), PluginError> {
    for runnable in &returned {
        context.log_unknown_of_runnable(runnable);
    }
    let mut budget = context.answer_budget();
    let returned = returned.into_iter();
    let mut equals = SharedEquals::default();
    let returned = returned.map(|it| Ok(equals.share(convert::runnable(it, &mut budget)?)));
    let returned: Vec<Arc<Runnable>> = context.within_budget(returned.collect())?;
    context.keep(budget.used())?;
    let more = context.within_budget(convert::attributes(more, &mut budget))?;
    let runnables = complete(context, pages, returned, &RUNNABLES)?;
    Ok((runnables, more))
}

/// Returns the paths of the files from which an answer was made; none where it says none.
pub(super) fn depends_on(more: &Attributes) -> Option<Vec<String>> {
    let paths = more.get("depends-on")?.items()?;
    paths.into_iter().map(Attribute::into_text).collect()
}
