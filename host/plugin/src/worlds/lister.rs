//! The adapter for world `lister`: each listing has an instance of its own.

use std::sync::Arc;

use crate::contract::convert;
use crate::contract::known_keys::LISTING;
use crate::error::PluginError;
use crate::instance::call::call_unless_idle;
use crate::instance::failure::answer;
use crate::powers::task::TaskHost;
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use crate::worlds::resolver::{depends_on, runnables_of};
use persea_model::{Attributes, JobId, Runnable, Task};

/// A lister's answer about a runnable.
#[derive(Debug)]
pub struct Listing {
    /// The tests: those that the lister added in pages, then those that it returned.
    pub tests: Vec<Arc<Runnable>>,
    /// The paths of the files from which the answer was made; none where it is not to be kept.
    pub depends_on: Option<Vec<String>>,
}

impl Plugin {
    /// Lists the tests of a task's runnable with this lister. `task` and `more` are what a runner
    /// would get to run it.
    ///
    /// The future may be dropped at any time. Then the instance is gone, and the caller has to end
    /// what is left in the environment.
    pub async fn list(
        &self,
        job: &JobId,
        task: &Task,
        settings: &Attributes,
        more: Attributes,
        host: Arc<dyn TaskHost>,
    ) -> Result<Listing, PluginError> {
        let LinkedComponent::Lister(component) = self.linked().await? else {
            return Err(self.is_no("lister"));
        };
        let context = &self.context;
        context.check_alive()?;
        let task = convert::to_task(task, job.as_str(), settings, &more);
        let mut store = self.runtime.listing_store(context, host);
        store.data_mut().begin_pages::<Arc<Runnable>>();
        let idle = Arc::clone(&store.data().idle);
        let call = async {
            let instance = component.instantiate(&mut store).await?;
            instance.list_tests(&mut store, task).await
        };
        let called = call_unless_idle(context, &idle, call).await?;
        let pages = store.data_mut().end_pages::<Arc<Runnable>>();
        let listing = answer(context, &mut store, called)?;
        context.log_unknown(&LISTING, &listing.more);
        let (tests, more) = runnables_of(context, pages, listing.tests, listing.more)?;
        Ok(Listing {
            tests,
            depends_on: depends_on(&more),
        })
    }
}
