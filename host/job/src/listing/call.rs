//! Owns one call of a lister: its checks, its settings, its environment and timeout. Does not know
//! what was listed before.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::execute::control::Control;
use crate::execute::messages::Assignment;
use crate::execute::slot::Slot;
use crate::execute::supervise::{StopLimits, TimeLimits, supervise};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_session::{SessionSubject, TaskSession};
use crate::input::own_directory;
use crate::input::own_settings::{self, TaskTimes};
use crate::input::own_spawner::{self, SpawnerChoice};
use crate::input::provenance::Provenance;
use crate::listing::kept::{ListingKey, NewListing};
use crate::listing::place::ListingPlace;
use persea_config::Config;
use persea_model::names::{cut, task_directory};
use persea_model::{Attributes, JobId, Limits, Runnable, SpawnerKind, Task};
use persea_plugin::{Catalog, Plugin, TaskHost};
use persea_spawner::{EnvironmentState, descriptor};

/// Reason for a timeout, for people.
const TIMEOUT_REASON: &str = "the lister took too long (`task.timeout.running`)";

/// The most that a message shows of a test's name, in bytes.
const SHOWN: usize = 100;

/// A lister's call for one runnable.
pub(super) struct ListingCall {
    lister: Arc<Plugin>,
    runnable: Arc<Runnable>,
    /// The spawner in whose environment the lister runs: that of its tests.
    pub(super) spawner: SpawnerKind,
    settings: Attributes,
    /// The provenance of the tests: the plugins that produced the runnable, and the lister.
    pub(super) provenance: Provenance,
    key: ListingKey,
    refusal: Option<String>,
    name: String,
}

impl ListingCall {
    /// Prepares the call of a lister for a runnable of this provenance.
    pub(super) fn new(
        lister: &Arc<Plugin>,
        runnable: &Arc<Runnable>,
        provenance: &Provenance,
        config: &Config,
    ) -> Self {
        let job_settings = lister.configured(config);
        let settings = own_settings::settings(&runnable.more, &job_settings, lister).into_owned();
        let choice = SpawnerChoice::new(config);
        let (spawner, wrong) = match choice.of(&runnable.more) {
            Ok(spawner) => (spawner, choice.check_image(&runnable.more, spawner).err()),
            Err(why) => (choice.of_job(), Some(why)),
        };
        let key = ListingKey::new(&lister.digest, runnable, &settings, spawner.name());
        let mut of_tests = provenance.clone();
        of_tests.add(lister);
        let restrictions = provenance.restrictions(config, spawner);
        let held = restrictions.and_then(|it| it.refusal(lister).map(str::to_owned));
        let refusal = wrong.or_else(|| lister.may_use(spawner.name()).err());
        let refusal = refusal
            .or(held)
            .or_else(|| own_settings::check(&runnable.more).err());
        let name = runnable.identifier.as_ref().or(runnable.uri.as_ref());
        Self {
            name: name.unwrap_or(&runnable.kind).clone(),
            lister: Arc::clone(lister),
            runnable: Arc::clone(runnable),
            spawner,
            settings,
            provenance: of_tests,
            key,
            refusal,
        }
    }

    /// The runnable's name for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The key under which the answer is kept.
    pub(super) fn key(&self) -> &ListingKey {
        &self.key
    }

    /// Why the lister may not be called.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Gives the listed tests the spawner and the image of the runnable.
    pub(super) fn place(&self, tests: &mut [Arc<Runnable>]) {
        let from = &self.runnable.more;
        if own_spawner::is_placed(from) {
            for test in tests {
                own_spawner::inherit(&mut Arc::make_mut(test).more, from);
            }
        }
    }

    /// Calls the lister in the environment of a slot.
    ///
    /// # Errors
    /// Why the tests cannot be listed, for people.
    pub(super) async fn run(
        &self,
        place: &ListingPlace,
        slot: &Arc<Slot>,
        catalog: &Catalog,
        config: &Config,
    ) -> Result<NewListing, String> {
        let begun = std::time::SystemTime::now();
        let task = self.task(place.next_number());
        let new = EnvironmentState::new(self.spawner);
        let state = match descriptor(self.spawner).has_snapshots {
            true => EnvironmentState {
                image: own_spawner::image(&self.runnable.more),
                network: place.execution.spawners.has_network(self.spawner),
                // The lister is one of the plugins.
                owner: self.provenance.digests().map(|it| it.to_string()),
                ..new
            },
            false => new,
        };
        // Nobody sends requests or receives messages.
        let (_control, mut control) = watch::channel(Control::default());
        let (messages, _inbox) = mpsc::unbounded_channel();
        let assignment = Assignment {
            slot: Arc::clone(slot),
            position: None,
            can_requeue: false,
            state,
            leaves_dirty: false,
            limits: Limits::default(),
            cwd: own_directory::of(&self.runnable.more, &place.execution.project_dir),
            variables: Vec::new(),
            more: Attributes::new(),
            messages,
        };
        let directory = TaskDirectory::of_test(&place.section, &task.directory);
        let execution = Arc::clone(&place.execution);
        let session = TaskSession::new(
            execution,
            SessionSubject::Task(task.index),
            directory,
            assignment,
        );
        let session = Arc::new(session);
        if self.lister.starts_processes() {
            let opened = session.environment().await;
            opened.map_err(|error| error.to_string())?;
        }
        let mut more = session.surroundings();
        let timeout = TaskTimes::new(config).of(&self.runnable.more);
        if let Some(timeout) = timeout {
            more.insert("timeout".into(), own_settings::nanoseconds(timeout));
        }
        let limits = TimeLimits {
            begun: place.execution.clock.now(),
            timeout,
            stop: StopLimits {
                clock: &place.execution.clock,
                timeout_reason: TIMEOUT_REASON,
                patience: Duration::ZERO,
                grace: place.execution.grace,
            },
        };
        let host: Arc<dyn TaskHost> = Arc::clone(&session) as Arc<dyn TaskHost>;
        let job = JobId::from_bytes([0; 20]);
        let running = self.lister.list(&job, &task, &self.settings, more, host);
        let done = supervise(&session, &limits, &mut control, pin!(running)).await;
        session.directory.settle();
        let done = done.ok_or("the lister's process was not started")?;
        let listing = match (done.answer, done.interrupted, done.lost) {
            (_, Some(reason), _) => return Err(reason.to_owned()),
            (_, None, Some(error)) => return Err(error.to_string()),
            (Some(Err(error)), None, None) => return Err(error.to_string()),
            (None, None, None) => return Err("the lister did not answer".to_owned()),
            (Some(Ok(listing)), None, None) => listing,
        };
        self.check(&listing.tests, catalog)?;
        Ok(NewListing {
            tests: listing.tests,
            depends_on: listing.depends_on,
            begun,
        })
    }

    /// The runnable as a task, with the number of the call.
    fn task(&self, number: usize) -> Task {
        let id = format!("{number}-{}", self.name);
        Task {
            index: persea_model::TaskIndex(0),
            directory: task_directory(&id).into(),
            id: id.into(),
            name: self.name.as_str().into(),
            title: self.name.as_str().into(),
            runnable: Arc::clone(&self.runnable),
        }
    }

    /// Checks what a lister has answered: kinds that it declares, and no test twice.
    fn check(&self, tests: &[Arc<Runnable>], catalog: &Catalog) -> Result<(), String> {
        let label = self.lister.label();
        let mut seen = HashSet::new();
        for test in tests {
            if !self.lister.kinds.contains(&test.kind) {
                return Err(format!(
                    "{label} has listed a test of the undeclared kind `{}`; it declares: {}",
                    cut(&test.kind, SHOWN),
                    self.lister.kinds.join(", ")
                ));
            }
            if catalog.runner(&test.kind).is_none() {
                return Err(format!(
                    "{label} has listed a test of the kind `{}`, which no runner runs",
                    cut(&test.kind, SHOWN)
                ));
            }
            if !seen.insert(identity(test)) {
                let name = test.identifier.as_ref().or(test.uri.as_ref());
                let name = name.map_or("", String::as_str);
                return Err(format!("{label} has listed `{}` twice", cut(name, SHOWN)));
            }
        }
        Ok(())
    }
}

/// What tells two listed tests apart: the identifier, or what is run where there is none.
fn identity(test: &Runnable) -> (Option<&str>, Option<&str>, &[String], String) {
    match &test.identifier {
        Some(identifier) => (Some(identifier), None, &[], String::new()),
        None => {
            let kwargs = serde_json::to_string(&test.kwargs).unwrap_or_default();
            (None, test.uri.as_deref(), &test.args, kwargs)
        }
    }
}
