//! Owns the table of the settings that the host itself has: a typed key and a row each. Plugins declare their own.
//!
//! Does not know about files, layers or what a setting is used for.

use persea_model::{Scope, SpawnerKind};

use super::key::{
    Choice, Failures, Flag, IdFormat, Key, Kind, Maybe, Number, Order, Text, Texts, Time, Verdict,
};
use super::project::Project;
use super::shape::Shape;

/// A setting of the host.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// What a value looks like.
    pub shape: Shape,
    /// The default, as JSON; `null` where there is none.
    pub default: &'static str,
    about: &'static str,
    /// What the files of a project may say about the setting.
    pub project: Project,
}

impl Setting {
    /// What the setting does, in a line.
    pub fn about(&self) -> &'static str {
        self.about.trim_start()
    }
}

/// Declares each setting once: its key, whose type is that of the value, and its row in [`SETTINGS`]. The comment is the
/// text that `persea config` and the book show.
macro_rules! settings {
    ($($(#[doc = $about:literal])+ $key:ident: $kind:ty = $name:literal, $default:literal, $project:ident;)*) => {
        $($(#[doc = $about])+ pub const $key: Key<$kind> = Key::new($name);)*

        /// Every setting of the host, by name.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                name: $name,
                shape: <$kind as Kind>::SHAPE,
                default: $default,
                about: concat!($($about),+),
                project: Project::$project,
            },)*
        ];
    };
}

settings! {
    /// whether `file://` locations may be fetched; by default only where tests run on this machine
    /// as it is (`process`)
    FETCH_FILES: Maybe<Flag> = "fetch.files", "null", Nothing;
    /// hosts that may be asked for downloads; `*.example.org` is every one below, `*` any
    FETCH_HOSTS: Texts = "fetch.hosts", "[\"*\"]", Unsaid;
    /// the largest download, in MiB
    FETCH_MAX_MB: Number = "fetch.max_mb", "4096", Any;
    /// download nothing: only what was kept from earlier jobs can be had
    FETCH_OFFLINE: Flag = "fetch.offline", "false", Unsaid;
    /// give a download up when nothing came for so long; 0 is never
    FETCH_STALL: Time = "fetch.stall", "60", Any;
    /// download also what has no checksum
    FETCH_UNVERIFIED: Flag = "fetch.unverified", "false", Unsaid;
    /// how many of the last lines that a failing test wrote are shown; 0 is none
    HUMAN_OUTPUT_LINES: Number = "human.output.lines", "20", Any;
    /// show only failing tests and the totals
    HUMAN_OUTPUT_QUIET: Flag = "human.output.quiet", "false", Any;
    /// show also that a test starts, where there is no terminal
    HUMAN_OUTPUT_STARTED: Flag = "human.output.started", "false", Any;
    /// write results.json
    JOB_RUN_RESULT_JSON_ENABLED: Flag = "job.run.result.json.enabled", "true", Any;
    /// write it to this file too; `-` is the standard output
    JOB_RUN_RESULT_JSON_OUTPUT: Maybe<Text> = "job.run.result.json.output", "null", InJob;
    /// write results.tap
    JOB_RUN_RESULT_TAP_ENABLED: Flag = "job.run.result.tap.enabled", "true", Any;
    /// write it to this file too; `-` is the standard output
    JOB_RUN_RESULT_TAP_OUTPUT: Maybe<Text> = "job.run.result.tap.output", "null", InJob;
    /// write results.xml
    JOB_RUN_RESULT_XUNIT_ENABLED: Flag = "job.run.result.xunit.enabled", "true", Any;
    /// write it to this file too; `-` is the standard output
    JOB_RUN_RESULT_XUNIT_OUTPUT: Maybe<Text> = "job.run.result.xunit.output", "null", InJob;
    /// the longest that a job may run; 0 is no limit
    JOB_RUN_TIMEOUT: Time = "job.run.timeout", "0", Any;
    /// directories with plugins, beside the user's own
    PLUGINS_DIRS: Texts = "plugins.dirs", "[]", Inside;
    /// plugins that are not to be used, as `resolver.tap`
    PLUGINS_DISABLE: Texts = "plugins.disable", "[]", Any;
    /// minisign public keys: where there are any, a plugin that is not built in must be signed with
    /// one of them
    PLUGINS_KEYS: Texts = "plugins.keys", "[]", Unsaid;
    /// memory of the host that one answer of a plugin may become, in MiB
    PLUGINS_LIMITS_ANSWER_MB: Number = "plugins.limits.answer_mb", "256", Any;
    /// memory of the host that the answers of a plugin may take in one job, in MiB: runnables, and
    /// what it takes to undo requirements
    PLUGINS_LIMITS_ANSWERS_MB: Number = "plugins.limits.answers_mb", "2048", Any;
    /// what one plugin instance may hand to the host in one call, in MiB
    PLUGINS_LIMITS_CALL_MB: Number = "plugins.limits.call_mb", "32", Any;
    /// processor time of the compiler for a plugin that is not built in
    PLUGINS_LIMITS_COMPILE: Time = "plugins.limits.compile", "120", Any;
    /// address space of that compiler, in MiB
    PLUGINS_LIMITS_COMPILE_MEMORY_MB: Number = "plugins.limits.compile_memory_mb", "4096", Any;
    /// the largest plugin that is loaded, in MiB
    PLUGINS_LIMITS_COMPONENT_MB: Number = "plugins.limits.component_mb", "128", Any;
    /// processor time of one plugin instance; 0 is no limit
    PLUGINS_LIMITS_CPU: Time = "plugins.limits.cpu", "600", Any;
    /// after so many traps, reached limits and time-outs in one job a plugin is not asked again
    PLUGINS_LIMITS_DEATHS: Number = "plugins.limits.deaths", "10", Any;
    /// the longest that a plugin may take to say what it is
    PLUGINS_LIMITS_DESCRIBE: Time = "plugins.limits.describe", "10", Any;
    /// handles that one plugin instance may have at once, as those of processes
    PLUGINS_LIMITS_HANDLES: Number = "plugins.limits.handles", "1000", Any;
    /// core instances in one plugin
    PLUGINS_LIMITS_INSTANCES: Number = "plugins.limits.instances", "200", Any;
    /// bytes of log that one plugin instance may write
    PLUGINS_LIMITS_LOG_BYTES: Number = "plugins.limits.log_bytes", "1048576", Any;
    /// messages that one plugin instance may write to the log
    PLUGINS_LIMITS_LOG_MESSAGES: Number = "plugins.limits.log_messages", "20000", Any;
    /// linear memory of one plugin instance, in MiB
    PLUGINS_LIMITS_MEMORY_MB: Number = "plugins.limits.memory_mb", "256", Any;
    /// the largest report of a result format, in MiB
    PLUGINS_LIMITS_OUTPUT_MB: Number = "plugins.limits.output_mb", "4096", Any;
    /// stack of a plugin instance, in KiB; one for all plugins
    PLUGINS_LIMITS_STACK_KB: Number = "plugins.limits.stack_kb", "512", Any;
    /// bytes of messages and artifacts that a runner may send for one task
    PLUGINS_LIMITS_STATUS_BYTES: Number = "plugins.limits.status_bytes", "16777216", Any;
    /// messages that a runner may send for one task
    PLUGINS_LIMITS_STATUS_MESSAGES: Number = "plugins.limits.status_messages", "100000", Any;
    /// elements in the tables of one plugin instance
    PLUGINS_LIMITS_TABLE_ELEMENTS: Number = "plugins.limits.table_elements", "100000", Any;
    /// requirement resolvers that are preferred where several see to a kind
    PLUGINS_REQUIREMENT_RESOLVER_ORDER: Texts = "plugins.requirement-resolver.order", "[]", Any;
    /// resolvers that are asked first, in this order
    PLUGINS_RESOLVER_ORDER: Texts = "plugins.resolver.order", "[]", Any;
    /// the longest that a resolver may take for one reference
    PLUGINS_RESOLVER_TIMEOUT: Time = "plugins.resolver.timeout", "30", Any;
    /// the longest that a result format may take for one batch of events
    PLUGINS_RESULT_FORMAT_TIMEOUT: Time = "plugins.result-format.timeout", "60", Any;
    /// runners that are preferred where several run a kind
    PLUGINS_RUNNER_ORDER: Texts = "plugins.runner.order", "[]", Any;
    /// the longest that a runner may go on while it has no process: what its processes take is the
    /// task's time; 0 is no limit
    PLUGINS_RUNNER_TIMEOUT: Time = "plugins.runner.timeout", "600", Any;
    /// the longest that a scheduler may take for one answer; then the job goes on without it
    PLUGINS_SCHEDULER_TIMEOUT: Time = "plugins.scheduler.timeout", "5", Any;
    /// the longest that a varianter may take for the variants of one test
    PLUGINS_VARIANTER_TIMEOUT: Time = "plugins.varianter.timeout", "30", Any;
    /// directories whose project files are followed although they belong to another user, with all
    /// below them; `*` is any
    PROJECT_SAFE_DIRECTORIES: Texts = "project.safe_directories", "[]", Nothing;
    /// when a requirement that says nothing else is released: after each `task`, its `suite` or the
    /// `job`, or never (`keep`)
    REQUIREMENT_SCOPE: Choice<Scope> = "requirement.scope", "\"job\"", Any;
    /// the longest that fulfilling or releasing a requirement may take; 0 is no limit
    REQUIREMENT_TIMEOUT: Time = "requirement.timeout", "1800", Any;
    /// give runners that can run many tasks in one instance one after the other, as that for
    /// Python's unittest
    RUN_BATCHES: Flag = "run.batches", "true", Any;
    /// plan the job, but cancel every task instead of running it
    RUN_DRY_RUN_ENABLED: Flag = "run.dry_run.enabled", "false", Any;
    /// whether a test that ends CANCEL makes the exit code 1 (`fail`); a job in which no test was
    /// started is 2 in any case
    RUN_EXIT_CANCELLED: Choice<Verdict> = "run.exit.cancelled", "\"pass\"", Any;
    /// whether a job without any test, as of an empty list, has the exit code 2 (`fail`)
    RUN_EXIT_EMPTY: Choice<Verdict> = "run.exit.empty", "\"pass\"", Any;
    /// start nothing more after the first task that fails, or after so many
    RUN_FAILFAST: Failures = "run.failfast", "false", Any;
    /// how ids are written: {index}, {suite}, {kind}, {name}, {variant}; by default
    /// {suite}-{index}-{name};{variant} of what there is
    RUN_ID_FORMAT: Maybe<IdFormat> = "run.id_format", "null", Any;
    /// run the rest when a reference cannot be resolved
    RUN_IGNORE_MISSING_REFERENCES: Flag = "run.ignore_missing_references", "false", Any;
    /// how many tasks run at once; 0 is the number of processors
    RUN_MAX_PARALLEL_TASKS: Number = "run.max_parallel_tasks", "0", Any;
    /// which tasks start first: those that failed the last time, or those that took the longest, by
    /// the latest jobs in `run.results_dir`
    RUN_ORDER: Choice<Order> = "run.order", "\"given\"", Any;
    /// run only this part of the tasks: `2/5`, or `hash:2/5` by their names
    RUN_PARTITION: Maybe<Text> = "run.partition", "null", Any;
    /// memory of the host that the tasks of one job may take, in MiB
    RUN_PLAN_MB: Number = "run.plan_mb", "4096", Any;
    /// where the directories of jobs are made; by default ~/persea/job-results
    RUN_RESULTS_DIR: Maybe<Text> = "run.results_dir", "null", Nothing;
    /// how often a task that fails is tried again
    RUN_RETRIES: Number = "run.retries", "0", Any;
    /// the scheduler, a plugin, that says which task starts next
    RUN_SCHEDULER: Maybe<Text> = "run.scheduler", "null", Any;
    /// run the tasks in a random order
    RUN_SHUFFLE: Flag = "run.shuffle", "false", Any;
    /// the order to shuffle into, as an earlier job printed it
    RUN_SHUFFLE_SEED: Maybe<Number> = "run.shuffle_seed", "null", Any;
    /// where tests run: on this machine as it is (`process`), or each in a `sandbox` of it
    RUN_SPAWNER: Choice<SpawnerKind> = "run.spawner", "\"process\"", Unsaid;
    /// make warnings about references errors: a file that may hold tests that were not found, or
    /// that cannot be read
    RUN_STRICT: Flag = "run.strict", "false", Any;
    /// how a task is named: {uri}, {args}, {args[0]}, {kwargs}, {kwargs[KEY]}
    RUNNER_IDENTIFIER_FORMAT: Text = "runner.identifier_format", "\"{uri}\"", Any;
    /// between SIGTERM and SIGKILL for a task's processes
    RUNNER_TASK_GRACE: Time = "runner.task.interval.from_soft_to_hard_termination", "1", Any;
    /// whether each test has a sandbox for itself; else those that need the same follow each other
    /// in one
    SPAWNER_SANDBOX_FRESH: Flag = "spawner.sandbox.fresh", "false", Unsaid;
    /// paths that tests in a sandbox do not see; a relative one is in the project, `~` is the home
    /// directory
    SPAWNER_SANDBOX_HIDE: Texts = "spawner.sandbox.hide", "[]", Adds;
    /// whether tests in a sandbox reach the network; what has to download for a requirement does in
    /// any case
    SPAWNER_SANDBOX_NETWORK: Flag = "spawner.sandbox.network", "false", Nothing;
    /// paths that tests in a sandbox see although they would be hidden, as keys in the home
    /// directory; also sockets
    SPAWNER_SANDBOX_SHOW: Texts = "spawner.sandbox.show", "[]", Nothing;
    /// the longest that a task may run; 0 is no limit
    TASK_TIMEOUT_RUNNING: Time = "task.timeout.running", "0", Any;
}
