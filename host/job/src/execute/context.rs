//! Owns what executions share and none of them changes. Plain data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::execute::clock::Clock;
use crate::input::own_limits::TaskLimits;
use crate::input::own_settings::TaskTimes;
use crate::results::directory::Section;
use persea_model::JobId;
use persea_plugin::Catalog;
use persea_spawner::Spawners;

/// What each execution needs, be it of a task, a requirement or a release.
pub(crate) struct ExecutionContext {
    pub(crate) spawners: Spawners,
    pub(crate) clock: Arc<Clock>,
    /// The section with the directories of requirements.
    pub(crate) dependencies: Arc<Section>,
    pub(crate) project_dir: PathBuf,
    /// The grace period between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// What the executions of a job need besides.
pub(crate) struct JobContext {
    pub(crate) execution: Arc<ExecutionContext>,
    pub(crate) id: JobId,
    pub(crate) catalog: Arc<Catalog>,
    /// Whether runners that can are given many tasks in one instance (batches).
    pub(crate) has_batches: bool,
    /// Whether the display has a line for each case.
    pub(crate) shows_cases: bool,
    /// The section with the directories of tests.
    pub(crate) test_results: Arc<Section>,
    /// The timeouts of tasks.
    pub(crate) times: TaskTimes,
    /// The limits of tasks.
    pub(crate) limits: TaskLimits,
}
