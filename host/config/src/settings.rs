//! Owns the table of the host's own settings: a typed key and a row each. Plugins declare their
//! own.
//!
//! Does not know about files, layers or what a setting is used for.

use persea_model::{Scope, SpawnerKind};
use serde_json::Value;

use super::key::{
    Choice, Delay, Failures, Flag, IdFormat, Key, Kind, Maybe, Number, Order, Processors,
    RetryCause, Several, Sharing, Size, Tables, Text, Texts, Time, Verdict,
};
use super::project::Project;
use super::shape::Shape;

/// A setting of the host.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The shape of a value.
    pub shape: Shape,
    default: fn() -> Value,
    about: &'static str,
    /// What the files of a project may do with the setting.
    pub project: Project,
}

impl Setting {
    /// What the setting does, in a line.
    pub fn about(&self) -> &'static str {
        self.about.trim_start()
    }

    /// The default, as JSON; `null` if there is none.
    pub fn default(&self) -> Value {
        (self.default)()
    }
}

/// Declares each setting once: its key, whose type is that of the value, and its row in
/// [`SETTINGS`]. The comment is the text that `persea config` and the book show.
macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $key:ident: $kind:ty = $name:literal, $default:expr, $project:ident;
    )*) => {
        $($(#[doc = $about])+
        // `{args[0]}` is no link.
        #[allow(rustdoc::broken_intra_doc_links)]
        pub const $key: Key<$kind> = Key::<$kind>::new($name, $default);)*

        /// Every setting of the host, by name.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                name: $name,
                shape: <$kind as Kind>::SHAPE,
                default: || $key.json_default(),
                about: concat!($($about),+),
                project: Project::$project,
            },)*
        ];
    };
}

settings! {
    /// allow downloads from `file://` locations; if not set, only for environments without
    /// isolation, and only if `run.spawner` does not isolate
    FETCH_FILES: Maybe<Flag> = "fetch.files", (), Nothing;
    /// hosts from which downloads are allowed; `*.example.org` means every host below it, `*` any
    /// host
    FETCH_HOSTS: Texts = "fetch.hosts", &["*"], Unsaid;
    /// largest download, in MiB
    FETCH_MAX_MB: Number = "fetch.max_mb", 4096, Any;
    /// download nothing; use only what earlier jobs have left in the cache
    FETCH_OFFLINE: Flag = "fetch.offline", false, Unsaid;
    /// time without data after which a download is given up, in seconds; 0 means no limit
    FETCH_STALL: Time = "fetch.stall", 60, Any;
    /// allow downloads that have no checksum
    FETCH_UNVERIFIED: Flag = "fetch.unverified", false, Unsaid;
    /// directory in which other hosts keep the contents of projects that were sent, there; if not
    /// set, `$XDG_CACHE_HOME/persea`, or `~/.cache/persea`
    FILES_CACHE: Maybe<Text> = "files.cache", (), Nothing;
    /// paths of the project that are not sent to other hosts, in the form of a line of a .gitignore
    /// file; results of jobs are never sent
    FILES_EXCLUDE: Texts = "files.exclude", &[], Adds;
    /// most that is fetched from another host of the files of one test, such as `512 MiB`; 0 means
    /// no limit
    FILES_MAX_FETCHED: Size = "files.max_fetched", 1073741824, Unsaid;
    /// most that a host keeps of the contents of projects that were sent; 0 means no limit
    FILES_MAX_KEPT: Size = "files.max_kept", 4294967296, Nothing;
    /// size from which a project is not sent to other hosts; 0 means no limit
    FILES_MAX_SENT: Size = "files.max_sent", 2147483648, Unsaid;
    /// whether other hosts have the project and the results at the same paths: `auto` asks each
    /// host, `shared` refuses a host that has not, `sent` sends and fetches in any case
    FILES_SHARING: Choice<Sharing> = "files.sharing", Sharing::Auto, Unsaid;
    /// number of lines shown from the end of a failing test's output; 0 shows none
    HUMAN_OUTPUT_LINES: Number = "human.output.lines", 20, Any;
    /// show only failing tests and the totals
    HUMAN_OUTPUT_QUIET: Flag = "human.output.quiet", false, Any;
    /// without a terminal, also show a line when a test starts, and one for each of its cases
    HUMAN_OUTPUT_STARTED: Flag = "human.output.started", false, Any;
    /// write results.html, a page for browsers, into the job's directory
    JOB_RUN_RESULT_HTML_ENABLED: Flag = "job.run.result.html.enabled", false, Any;
    /// also write results.html to this file; `-` means the standard output
    JOB_RUN_RESULT_HTML_OUTPUT: Maybe<Text> = "job.run.result.html.output", (), InJob;
    /// write results.json into the job's directory
    JOB_RUN_RESULT_JSON_ENABLED: Flag = "job.run.result.json.enabled", true, Any;
    /// also write results.json to this file; `-` means the standard output
    JOB_RUN_RESULT_JSON_OUTPUT: Maybe<Text> = "job.run.result.json.output", (), InJob;
    /// write results.tap into the job's directory
    JOB_RUN_RESULT_TAP_ENABLED: Flag = "job.run.result.tap.enabled", true, Any;
    /// also write results.tap to this file; `-` means the standard output
    JOB_RUN_RESULT_TAP_OUTPUT: Maybe<Text> = "job.run.result.tap.output", (), InJob;
    /// write results.xml into the job's directory
    JOB_RUN_RESULT_XUNIT_ENABLED: Flag = "job.run.result.xunit.enabled", true, Any;
    /// also write results.xml to this file; `-` means the standard output
    JOB_RUN_RESULT_XUNIT_OUTPUT: Maybe<Text> = "job.run.result.xunit.output", (), InJob;
    /// time limit of a job, in seconds; 0 means no limit
    JOB_RUN_TIMEOUT: Time = "job.run.timeout", 0, Any;
    /// which kind of test files are, by globs: tables with `match`, `kind` and what the book has
    /// under "Kinds by pattern"; the first one that matches a file counts
    KIND: Tables = "kind", (), Any;
    /// directories with plugins, in addition to the user's own plugin directory
    PLUGINS_DIRS: Texts = "plugins.dirs", &[], Inside;
    /// plugins that are not used, such as `resolver.tap`
    PLUGINS_DISABLE: Texts = "plugins.disable", &[], Any;
    /// minisign public keys; if there are any, a plugin that is not built in must be signed with
    /// one of them
    PLUGINS_KEYS: Texts = "plugins.keys", &[], Unsaid;
    /// host memory that one answer of a plugin may take, in MiB
    PLUGINS_LIMITS_ANSWER_MB: Number = "plugins.limits.answer_mb", 256, Any;
    /// host memory that all answers of a plugin may take in one job, in MiB: runnables, and the
    /// data for releasing requirements
    PLUGINS_LIMITS_ANSWERS_MB: Number = "plugins.limits.answers_mb", 2048, Any;
    /// data that a plugin instance may pass to the host in one call, in MiB
    PLUGINS_LIMITS_CALL_MB: Number = "plugins.limits.call_mb", 32, Any;
    /// number of starts and ends of cases that a runner may report for one task
    PLUGINS_LIMITS_CASES: Number = "plugins.limits.cases", 1000000, Any;
    /// size of what a runner may report about the cases of one task, in MiB
    PLUGINS_LIMITS_CASES_MB: Number = "plugins.limits.cases_mb", 128, Any;
    /// processor time for compiling a plugin that is not built in, in seconds
    PLUGINS_LIMITS_COMPILE: Time = "plugins.limits.compile", 120, Any;
    /// address space for compiling a plugin that is not built in, in MiB
    PLUGINS_LIMITS_COMPILE_MEMORY_MB: Number = "plugins.limits.compile_memory_mb", 4096, Any;
    /// largest plugin that is loaded, in MiB
    PLUGINS_LIMITS_COMPONENT_MB: Number = "plugins.limits.component_mb", 128, Any;
    /// processor time of one plugin instance, in seconds; 0 means no limit
    PLUGINS_LIMITS_CPU: Time = "plugins.limits.cpu", 600, Any;
    /// number of traps, reached limits and time-outs in one job after which a plugin is no longer
    /// called
    PLUGINS_LIMITS_DEATHS: Number = "plugins.limits.deaths", 10, Any;
    /// time limit for a plugin to describe itself, in seconds
    PLUGINS_LIMITS_DESCRIBE: Time = "plugins.limits.describe", 10, Any;
    /// number of handles, such as those of processes, that one plugin instance may hold at once
    PLUGINS_LIMITS_HANDLES: Number = "plugins.limits.handles", 1000, Any;
    /// number of core instances in one plugin
    PLUGINS_LIMITS_INSTANCES: Number = "plugins.limits.instances", 200, Any;
    /// bytes that one plugin instance may write to the log
    PLUGINS_LIMITS_LOG_BYTES: Number = "plugins.limits.log_bytes", 1048576, Any;
    /// number of messages that one plugin instance may write to the log
    PLUGINS_LIMITS_LOG_MESSAGES: Number = "plugins.limits.log_messages", 20000, Any;
    /// linear memory of one plugin instance, in MiB
    PLUGINS_LIMITS_MEMORY_MB: Number = "plugins.limits.memory_mb", 256, Any;
    /// largest report of a result format, in MiB
    PLUGINS_LIMITS_OUTPUT_MB: Number = "plugins.limits.output_mb", 4096, Any;
    /// stack of a plugin instance, in KiB; the same for all plugins
    PLUGINS_LIMITS_STACK_KB: Number = "plugins.limits.stack_kb", 512, Any;
    /// bytes of messages and artifacts that a runner may send for one task
    PLUGINS_LIMITS_STATUS_BYTES: Number = "plugins.limits.status_bytes", 16777216, Any;
    /// number of messages that a runner may send for one task
    PLUGINS_LIMITS_STATUS_MESSAGES: Number = "plugins.limits.status_messages", 100000, Any;
    /// number of elements in the tables of one plugin instance
    PLUGINS_LIMITS_TABLE_ELEMENTS: Number = "plugins.limits.table_elements", 100000, Any;
    /// listers to prefer if several list the tests of one kind, the most preferred first
    PLUGINS_LISTER_ORDER: Texts = "plugins.lister.order", &[], Any;
    /// time limit of a lister while none of its processes runs, in seconds; the time of its
    /// processes counts as the task's; 0 means no limit
    PLUGINS_LISTER_TIMEOUT: Time = "plugins.lister.timeout", 600, Any;
    /// requirement resolvers to prefer if several serve one kind, the most preferred first
    PLUGINS_REQUIREMENT_RESOLVER_ORDER: Texts = "plugins.requirement-resolver.order", &[], Any;
    /// resolvers that are asked before all others, in this order
    PLUGINS_RESOLVER_ORDER: Texts = "plugins.resolver.order", &[], Any;
    /// time limit of a resolver for one reference, in seconds
    PLUGINS_RESOLVER_TIMEOUT: Time = "plugins.resolver.timeout", 30, Any;
    /// time limit of a result format for one batch of events, in seconds
    PLUGINS_RESULT_FORMAT_TIMEOUT: Time = "plugins.result-format.timeout", 60, Any;
    /// runners to prefer if several run one kind, the most preferred first
    PLUGINS_RUNNER_ORDER: Texts = "plugins.runner.order", &[], Any;
    /// time limit of a runner while none of its processes runs, in seconds; the time of its
    /// processes counts as the task's; 0 means no limit
    PLUGINS_RUNNER_TIMEOUT: Time = "plugins.runner.timeout", 600, Any;
    /// time limit of a scheduler for one answer, in seconds; beyond it the job continues without
    /// the scheduler
    PLUGINS_SCHEDULER_TIMEOUT: Time = "plugins.scheduler.timeout", 5, Any;
    /// time limit of a varianter for the variants of one test, in seconds
    PLUGINS_VARIANTER_TIMEOUT: Time = "plugins.varianter.timeout", 30, Any;
    /// directories whose project files are used although they belong to another user, including all
    /// directories below; `*` means any directory
    PROJECT_SAFE_DIRECTORIES: Texts = "project.safe_directories", &[], Nothing;
    /// globs of files and directories that are left out of directories and globs, in addition to
    /// results of jobs
    REFERENCES_EXCLUDE: Texts = "references.exclude", &[], Any;
    /// when a requirement without a scope of its own is released: after each `task`, after its
    /// `suite` or the `job`, or never (`keep`)
    REQUIREMENT_SCOPE: Choice<Scope> = "requirement.scope", Scope::Job, Any;
    /// time limit for fulfilling or releasing one requirement, in seconds; 0 means no limit
    REQUIREMENT_TIMEOUT: Time = "requirement.timeout", 1800, Any;
    /// run many tasks one after the other in one instance of a runner that can do so, such as
    /// `python-unittest`
    RUN_BATCHES: Flag = "run.batches", true, Any;
    /// plan the job, but cancel every task instead of running it
    RUN_DRY_RUN_ENABLED: Flag = "run.dry_run.enabled", false, Any;
    /// filters of the tests that are left out, such as `tag(slow)`
    RUN_EXCLUDE: Texts = "run.exclude", &[], Any;
    /// whether a test that ends CANCEL makes the exit code 1 (`fail`); the exit code of a job that
    /// starts no test is 2 in any case
    RUN_EXIT_CANCELLED: Choice<Verdict> = "run.exit.cancelled", Verdict::Pass, Any;
    /// whether a job without tests, such as one from an empty list, has the exit code 2 (`fail`)
    RUN_EXIT_EMPTY: Choice<Verdict> = "run.exit.empty", Verdict::Pass, Any;
    /// start no more tasks after the first failure (`true`), or after this number of failures
    RUN_FAILFAST: Failures = "run.failfast", None, Any;
    /// filters that choose the tests, such as `kind(pytest) & !name(~net)`; a test for which one of
    /// them holds is chosen. If empty, all tests are
    RUN_FILTER: Texts = "run.filter", &[], Any;
    /// format of task ids, made of {index}, {suite}, {kind}, {name} and {variant}; if not set,
    /// {suite}-{index}-{name};{variant} without the parts that a task does not have
    RUN_ID_FORMAT: Maybe<IdFormat> = "run.id_format", (), Any;
    /// run the other tests if a reference cannot be resolved
    RUN_IGNORE_MISSING_REFERENCES: Flag = "run.ignore_missing_references", false, Any;
    /// processors that the processes of a test may use together, such as 2 or 0.5; 0 means no limit
    RUN_LIMITS_CPUS: Processors = "run.limits.cpus", 0, Unsaid;
    /// bytes that a test may have in one file, and in its own directories together, such as
    /// `100 MiB`; 0 means no limit
    RUN_LIMITS_DISK: Size = "run.limits.disk", 0, Unsaid;
    /// memory that the processes of a test may have together, such as `2 GiB`; 0 means no limit
    RUN_LIMITS_MEMORY: Size = "run.limits.memory", 0, Unsaid;
    /// number of processes and threads that a test may have at once; 0 means no limit
    RUN_LIMITS_PROCESSES: Number = "run.limits.processes", 0, Unsaid;
    /// number of further attempts of a task whose environment was lost, such as a host that does
    /// not answer any more; they do not count as retries
    RUN_LOST_ENVIRONMENTS: Number = "run.lost_environments", 2, Any;
    /// number of tasks that run at once; 0 means the number of processors for those on this
    /// machine, and the slots of all hosts or nodes for those of the spawners `ssh` and `slurm`
    RUN_MAX_PARALLEL_TASKS: Number = "run.max_parallel_tasks", 0, Any;
    /// which tasks start first: those that failed the last time, or those that took the longest,
    /// according to the latest jobs in `run.results_dir`
    RUN_ORDER: Choice<Order> = "run.order", Order::Given, Any;
    /// run only one part of the tasks: `2/5` is the second of five parts, `hash:2/5` divides the
    /// tasks by name
    RUN_PARTITION: Maybe<Text> = "run.partition", (), Any;
    /// host memory that the tasks of one job may take, in MiB
    RUN_PLAN_MB: Number = "run.plan_mb", 4096, Any;
    /// directory in which the directories of jobs are created; if not set, ~/persea/job-results
    RUN_RESULTS_DIR: Maybe<Text> = "run.results_dir", (), Nothing;
    /// number of times that a failed task or requirement is retried
    RUN_RETRIES: Number = "run.retries", 0, Any;
    /// what is retried: tasks that end with one of these statuses, and with `infrastructure` also
    /// tasks and requirements that fail because of their environment, as their plugin or the host
    /// says
    RUN_RETRY_ON: Several<RetryCause> = "run.retry_on", RetryCause::USUAL, Any;
    /// scheduler plugin that chooses the task that starts next; if not set, the host chooses
    RUN_SCHEDULER: Maybe<Text> = "run.scheduler", (), Any;
    /// run the tasks in a random order
    RUN_SHUFFLE: Flag = "run.shuffle", false, Any;
    /// seed of the random order, as an earlier job printed it; if not set, each job has a new one
    RUN_SHUFFLE_SEED: Maybe<Number> = "run.shuffle_seed", (), Any;
    /// where tests run that name no spawner: directly on this machine (`process`), in a `sandbox`
    /// on it, in a `container`, on other hosts over `ssh`, or on nodes of a cluster (`slurm`)
    RUN_SPAWNER: Choice<SpawnerKind> = "run.spawner", SpawnerKind::Process, Unsaid;
    /// treat warnings about references as errors: a file that may hold tests that were not found,
    /// or that cannot be read
    RUN_STRICT: Flag = "run.strict", false, Any;
    /// format of task names, made of {uri}, {args}, {args[0]}, {kwargs} and {kwargs[KEY]}
    RUNNER_IDENTIFIER_FORMAT: Text = "runner.identifier_format", "{uri}", Any;
    /// time between SIGTERM and SIGKILL when the processes of a task are ended, in seconds; 0 means
    /// that SIGKILL follows at once
    RUNNER_TASK_GRACE: Delay = "runner.task.interval.from_soft_to_hard_termination", 1, Any;
    /// socket of the container engine, such as `unix:///run/podman/podman.sock`; if not set, that
    /// of `CONTAINER_HOST` or `DOCKER_HOST`, then Podman's, then Docker's
    SPAWNER_CONTAINER_ENGINE: Maybe<Text> = "spawner.container.engine", (), Nothing;
    /// give each test a container of its own; otherwise tests with the same image and requirements
    /// share one container, one after the other
    SPAWNER_CONTAINER_FRESH: Flag = "spawner.container.fresh", false, Unsaid;
    /// image in whose containers tests run, unless they name another one
    SPAWNER_CONTAINER_IMAGE: Maybe<Text> = "spawner.container.image", (), Unsaid;
    /// paths of this machine that tests in a container see beside the project: `PATH`,
    /// `PATH:PATH-IN-CONTAINER`, each also with `:rw` for one that they can write to
    SPAWNER_CONTAINER_MOUNTS: Texts = "spawner.container.mounts", &[], Nothing;
    /// network of tests in a container: `none`, `default` for the engine's own, or a name that the
    /// engine knows; requirement resolvers can download in any case
    SPAWNER_CONTAINER_NETWORK: Text = "spawner.container.network", "none", Nothing;
    /// pull an image that the engine does not have
    SPAWNER_CONTAINER_PULL: Flag = "spawner.container.pull", true, Unsaid;
    /// program with which the engine runs containers, such as `crun` or `runc`; if not set,
    /// the engine's default
    SPAWNER_CONTAINER_RUNTIME: Maybe<Text> = "spawner.container.runtime", (), Nothing;
    /// give each test a sandbox of its own; otherwise tests with the same requirements share one
    /// sandbox, one after the other
    SPAWNER_SANDBOX_FRESH: Flag = "spawner.sandbox.fresh", false, Unsaid;
    /// paths that tests in a sandbox do not see; a relative path starts at the project, `~` is the
    /// home directory
    SPAWNER_SANDBOX_HIDE: Texts = "spawner.sandbox.hide", &[], Adds;
    /// let tests in a sandbox use the network; requirement resolvers can download in any case
    SPAWNER_SANDBOX_NETWORK: Flag = "spawner.sandbox.network", false, Nothing;
    /// paths that tests in a sandbox see although they are hidden by default, such as keys in the
    /// home directory; also sockets
    SPAWNER_SANDBOX_SHOW: Texts = "spawner.sandbox.show", &[], Nothing;
    /// account that pays for the allocation; if not set, your default one
    SPAWNER_SLURM_ACCOUNT: Maybe<Text> = "spawner.slurm.account", (), Nothing;
    /// further arguments for `sbatch`, such as `--constraint=gpu` or `--exclusive`
    SPAWNER_SLURM_EXTRA: Texts = "spawner.slurm.extra", &[], Nothing;
    /// time after which a node that no longer hears from this machine has ended all tests on it, in
    /// seconds
    SPAWNER_SLURM_LEASE: Delay = "spawner.slurm.lease", 30, Nothing;
    /// number of nodes of the allocation, or fewer if the job has fewer tests
    SPAWNER_SLURM_NODES: Number = "spawner.slurm.nodes", 0, Nothing;
    /// partition in which the nodes are; if not set, the cluster's default one
    SPAWNER_SLURM_PARTITION: Maybe<Text> = "spawner.slurm.partition", (), Nothing;
    /// number of tests that run at once on each node; each is a task of Slurm, with one processor
    /// unless `spawner.slurm.extra` has `--cpus-per-task`
    SPAWNER_SLURM_SLOTS: Number = "spawner.slurm.slots", 1, Nothing;
    /// time limit of the allocation, in seconds; 0 means that of the partition
    SPAWNER_SLURM_TIME: Time = "spawner.slurm.time", 0, Nothing;
    /// hosts on which tests run, as one would type them for `ssh`; `HOST=4` runs four tests at
    /// once there, `HOST` one
    SPAWNER_SSH_HOSTS: Texts = "spawner.ssh.hosts", &[], Nothing;
    /// time after which a host that no longer hears from this one has ended all tests on it, in
    /// seconds
    SPAWNER_SSH_LEASE: Delay = "spawner.ssh.lease", 30, Nothing;
    /// further arguments for the program `ssh`, such as `-F` and a file, or `-p` and a port
    SPAWNER_SSH_OPTIONS: Texts = "spawner.ssh.options", &[], Nothing;
    /// time limit of a task, in seconds; 0 means no limit
    TASK_TIMEOUT_RUNNING: Time = "task.timeout.running", 0, Any;
}
