//! The settings that the host itself knows: a table, one row each. Plugins declare their own.

use super::project::Project;
use super::shape::Shape;

/// A setting of the host.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Its default, as JSON; `null` where it is not set.
    pub default: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What a project may say of it.
    pub project: Project,
}

impl Known {
    /// Where that is not what it likes.
    const fn of_project(self, project: Project) -> Self {
        Self { project, ..self }
    }
}

const fn known(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    about: &'static str,
) -> Known {
    Known {
        name,
        shape,
        default,
        about,
        project: Project::Any,
    }
}

/// Every setting of the host, by name.
pub const KNOWN: &[Known] = &[
    known(
        "fetch.files",
        Shape::Flag,
        "null",
        "whether `file://` locations may be fetched; by default only where tests run on this machine as it is (`process`)",
    )
    .of_project(Project::Nothing),
    known(
        "fetch.hosts",
        Shape::Texts,
        "[\"*\"]",
        "hosts that may be asked for downloads; `*.example.org` is every one below, `*` any",
    )
    .of_project(Project::Unsaid),
    known(
        "fetch.max_mb",
        Shape::Integer,
        "4096",
        "the largest download, in MiB",
    ),
    known(
        "fetch.offline",
        Shape::Flag,
        "false",
        "download nothing: only what was kept from earlier jobs can be had",
    )
    .of_project(Project::Unsaid),
    known(
        "fetch.stall",
        Shape::Duration,
        "60",
        "give a download up when nothing came for so long; 0 is never",
    ),
    known(
        "fetch.unverified",
        Shape::Flag,
        "false",
        "download also what has no checksum",
    )
    .of_project(Project::Unsaid),
    known(
        "human.output.lines",
        Shape::Integer,
        "20",
        "how many of the last lines that a failing test wrote are shown; 0 is none",
    ),
    known(
        "human.output.quiet",
        Shape::Flag,
        "false",
        "show only failing tests and the totals",
    ),
    known(
        "human.output.started",
        Shape::Flag,
        "false",
        "show also that a test starts, where there is no terminal",
    ),
    known(
        "job.run.result.json.enabled",
        Shape::Flag,
        "true",
        "write results.json",
    ),
    known(
        "job.run.result.json.output",
        Shape::Text,
        "null",
        "write it to this file too; `-` is the standard output",
    )
    .of_project(Project::InJob),
    known(
        "job.run.result.tap.enabled",
        Shape::Flag,
        "true",
        "write results.tap",
    ),
    known(
        "job.run.result.tap.output",
        Shape::Text,
        "null",
        "write it to this file too; `-` is the standard output",
    )
    .of_project(Project::InJob),
    known(
        "job.run.result.xunit.enabled",
        Shape::Flag,
        "true",
        "write results.xml",
    ),
    known(
        "job.run.result.xunit.output",
        Shape::Text,
        "null",
        "write it to this file too; `-` is the standard output",
    )
    .of_project(Project::InJob),
    known(
        "job.run.timeout",
        Shape::Duration,
        "0",
        "the longest that a job may run; 0 is no limit",
    ),
    known(
        "plugins.dirs",
        Shape::Texts,
        "[]",
        "directories with plugins, beside the user's own",
    )
    .of_project(Project::Inside),
    known(
        "plugins.disable",
        Shape::Texts,
        "[]",
        "plugins that are not to be used, as `resolver.tap`",
    ),
    known(
        "plugins.keys",
        Shape::Texts,
        "[]",
        "minisign public keys: where there are any, a plugin that is not built in must be signed with one of them",
    )
    .of_project(Project::Unsaid),
    known(
        "plugins.limits.answer_mb",
        Shape::Integer,
        "256",
        "memory of the host that one answer of a plugin may become, in MiB",
    ),
    known(
        "plugins.limits.answers_mb",
        Shape::Integer,
        "2048",
        "memory of the host that the answers of a plugin may take in one job, in MiB: runnables, and what it takes to undo requirements",
    ),
    known(
        "plugins.limits.call_mb",
        Shape::Integer,
        "32",
        "what one plugin instance may hand to the host in one call, in MiB",
    ),
    known(
        "plugins.limits.compile",
        Shape::Duration,
        "120",
        "processor time of the compiler for a plugin that is not built in",
    ),
    known(
        "plugins.limits.compile_memory_mb",
        Shape::Integer,
        "4096",
        "address space of that compiler, in MiB",
    ),
    known(
        "plugins.limits.component_mb",
        Shape::Integer,
        "128",
        "the largest plugin that is loaded, in MiB",
    ),
    known(
        "plugins.limits.cpu",
        Shape::Duration,
        "600",
        "processor time of one plugin instance; 0 is no limit",
    ),
    known(
        "plugins.limits.deaths",
        Shape::Integer,
        "10",
        "after so many traps, reached limits and time-outs in one job a plugin is not asked again",
    ),
    known(
        "plugins.limits.describe",
        Shape::Duration,
        "10",
        "the longest that a plugin may take to say what it is",
    ),
    known(
        "plugins.limits.handles",
        Shape::Integer,
        "1000",
        "handles that one plugin instance may have at once, as those of processes",
    ),
    known(
        "plugins.limits.instances",
        Shape::Integer,
        "200",
        "core instances in one plugin",
    ),
    known(
        "plugins.limits.log_bytes",
        Shape::Integer,
        "1048576",
        "bytes of log that one plugin instance may write",
    ),
    known(
        "plugins.limits.log_messages",
        Shape::Integer,
        "20000",
        "messages that one plugin instance may write to the log",
    ),
    known(
        "plugins.limits.memory_mb",
        Shape::Integer,
        "256",
        "linear memory of one plugin instance, in MiB",
    ),
    known(
        "plugins.limits.output_mb",
        Shape::Integer,
        "4096",
        "the largest report of a result format, in MiB",
    ),
    known(
        "plugins.limits.stack_kb",
        Shape::Integer,
        "512",
        "stack of a plugin instance, in KiB; one for all plugins",
    ),
    known(
        "plugins.limits.status_bytes",
        Shape::Integer,
        "16777216",
        "bytes of messages and artifacts that a runner may send for one task",
    ),
    known(
        "plugins.limits.status_messages",
        Shape::Integer,
        "100000",
        "messages that a runner may send for one task",
    ),
    known(
        "plugins.limits.table_elements",
        Shape::Integer,
        "100000",
        "elements in the tables of one plugin instance",
    ),
    known(
        "plugins.requirement-resolver.order",
        Shape::Texts,
        "[]",
        "requirement resolvers that are preferred where several see to a kind",
    ),
    known(
        "plugins.resolver.order",
        Shape::Texts,
        "[]",
        "resolvers that are asked first, in this order",
    ),
    known(
        "plugins.resolver.timeout",
        Shape::Duration,
        "30",
        "the longest that a resolver may take for one reference",
    ),
    known(
        "plugins.result-format.timeout",
        Shape::Duration,
        "60",
        "the longest that a result format may take for one batch of events",
    ),
    known(
        "plugins.runner.order",
        Shape::Texts,
        "[]",
        "runners that are preferred where several run a kind",
    ),
    known(
        "plugins.runner.timeout",
        Shape::Duration,
        "600",
        "the longest that a runner may go on while it has no process: what its processes take is the task's time; 0 is no limit",
    ),
    known(
        "plugins.scheduler.timeout",
        Shape::Duration,
        "5",
        "the longest that a scheduler may take for one answer; then the job goes on without it",
    ),
    known(
        "plugins.varianter.timeout",
        Shape::Duration,
        "30",
        "the longest that a varianter may take for the variants of one test",
    ),
    known(
        "project.safe_directories",
        Shape::Texts,
        "[]",
        "directories whose project files are followed although they belong to another user, with all below them; `*` is any",
    )
    .of_project(Project::Nothing),
    known(
        "requirement.scope",
        Shape::Scope,
        "\"job\"",
        "when a requirement that says nothing else is released: after each `task`, its `suite` or the `job`, or never (`keep`)",
    ),
    known(
        "requirement.timeout",
        Shape::Duration,
        "1800",
        "the longest that fulfilling or releasing a requirement may take; 0 is no limit",
    ),
    known(
        "run.batches",
        Shape::Flag,
        "true",
        "give runners that can run many tasks in one instance one after the other, as that for Python's unittest",
    ),
    known(
        "run.dry_run.enabled",
        Shape::Flag,
        "false",
        "plan the job, but cancel every task instead of running it",
    ),
    known(
        "run.exit.cancelled",
        Shape::Verdict,
        "\"pass\"",
        "whether a test that ends CANCEL makes the exit code 1 (`fail`); a job in which no test was started is 2 in any case",
    ),
    known(
        "run.exit.empty",
        Shape::Verdict,
        "\"pass\"",
        "whether a job without any test, as of an empty list, has the exit code 2 (`fail`)",
    ),
    known(
        "run.failfast",
        Shape::Failures,
        "false",
        "start nothing more after the first task that fails, or after so many",
    ),
    known(
        "run.id_format",
        Shape::IdFormat,
        "null",
        "how ids are written: {index}, {suite}, {kind}, {name}, {variant}; by default {suite}-{index}-{name};{variant} of what there is",
    ),
    known(
        "run.ignore_missing_references",
        Shape::Flag,
        "false",
        "run the rest when a reference cannot be resolved",
    ),
    known(
        "run.max_parallel_tasks",
        Shape::Integer,
        "0",
        "how many tasks run at once; 0 is the number of processors",
    ),
    known(
        "run.order",
        Shape::Order,
        "\"given\"",
        "which tasks start first: those that failed the last time, or those that took the longest, by the latest jobs in `run.results_dir`",
    ),
    known(
        "run.partition",
        Shape::Text,
        "null",
        "run only this part of the tasks: `2/5`, or `hash:2/5` by their names",
    ),
    known(
        "run.plan_mb",
        Shape::Integer,
        "4096",
        "memory of the host that the tasks of one job may take, in MiB",
    ),
    known(
        "run.results_dir",
        Shape::Text,
        "null",
        "where the directories of jobs are made; by default ~/persea/job-results",
    )
    .of_project(Project::Nothing),
    known(
        "run.retries",
        Shape::Integer,
        "0",
        "how often a task that fails is tried again",
    ),
    known(
        "run.scheduler",
        Shape::Text,
        "null",
        "the scheduler, a plugin, that says which task starts next",
    ),
    known(
        "run.shuffle",
        Shape::Flag,
        "false",
        "run the tasks in a random order",
    ),
    known(
        "run.shuffle_seed",
        Shape::Integer,
        "null",
        "the order to shuffle into, as an earlier job printed it",
    ),
    known(
        "run.spawner",
        Shape::Spawner,
        "\"process\"",
        "where tests run: on this machine as it is (`process`), or each in a `sandbox` of it",
    )
    .of_project(Project::Unsaid),
    known(
        "run.strict",
        Shape::Flag,
        "false",
        "make warnings about references errors: a file that may hold tests that were not found, or that cannot be read",
    ),
    known(
        "runner.identifier_format",
        Shape::Text,
        "\"{uri}\"",
        "how a task is named: {uri}, {args}, {args[0]}, {kwargs}, {kwargs[KEY]}",
    ),
    known(
        "runner.task.interval.from_soft_to_hard_termination",
        Shape::Duration,
        "1",
        "between SIGTERM and SIGKILL for a task's processes",
    ),
    known(
        "spawner.sandbox.fresh",
        Shape::Flag,
        "false",
        "whether each test has a sandbox for itself; else those that need the same follow each other in one",
    )
    .of_project(Project::Unsaid),
    known(
        "spawner.sandbox.hide",
        Shape::Texts,
        "[]",
        "paths that tests in a sandbox do not see; a relative one is in the project, `~` is the home directory",
    )
    .of_project(Project::Adds),
    known(
        "spawner.sandbox.network",
        Shape::Flag,
        "false",
        "whether tests in a sandbox reach the network; what has to download for a requirement does in any case",
    )
    .of_project(Project::Nothing),
    known(
        "spawner.sandbox.show",
        Shape::Texts,
        "[]",
        "paths that tests in a sandbox see although they would be hidden, as keys in the home directory; also sockets",
    )
    .of_project(Project::Nothing),
    known(
        "task.timeout.running",
        Shape::Duration,
        "0",
        "the longest that a task may run; 0 is no limit",
    ),
];
