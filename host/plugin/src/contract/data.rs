//! Owns the host's form of the contract's data: what crosses the border between the host and a
//! plugin, whatever track the plugin was built for. Nothing here is checked yet; `convert` makes
//! the model's types of it. Does not know about any generated type.

use persea_model::Status;

/// One value of [`Attributes`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// A list or an object as a JSON text.
    Json(String),
}

/// Values by name, in the order in which they came; of a name that comes twice, the last one
/// counts.
pub(crate) type Attributes = Vec<(String, Value)>;

/// An expected failure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Error {
    /// The kind of failure, for programs.
    pub(crate) code: String,
    /// What went wrong, for people.
    pub(crate) message: String,
    pub(crate) detail: Attributes,
}

/// The answer of a function that has nothing to return.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) more: Attributes,
}

/// What a plugin says about itself.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) more: Attributes,
}

/// One thing that a plugin says it is.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) more: Attributes,
}

/// A setting that a plugin declares.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) shape: String,
    pub(crate) default_value: Value,
    pub(crate) summary: String,
    pub(crate) more: Attributes,
}

/// A requirement of a runnable.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    pub(crate) kind: String,
    pub(crate) uri: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) kwargs: Attributes,
    pub(crate) more: Attributes,
}

/// Something that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Runnable {
    pub(crate) kind: String,
    pub(crate) uri: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) kwargs: Attributes,
    pub(crate) env: Vec<(String, Option<String>)>,
    pub(crate) tags: Vec<(String, Vec<String>)>,
    pub(crate) requirements: Vec<Requirement>,
    pub(crate) identifier: Option<String>,
    pub(crate) more: Attributes,
}

/// A runnable that runs once in a job.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) job_id: String,
    pub(crate) runnable: Runnable,
    pub(crate) settings: Attributes,
    pub(crate) more: Attributes,
}

/// The result of a task.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) reason: Option<String>,
    pub(crate) more: Attributes,
}

/// One variant of a test.
#[derive(Debug)]
pub(crate) struct Variation {
    pub(crate) parameters: Attributes,
    pub(crate) more: Attributes,
}

/// A case that has ended.
#[derive(Debug)]
pub(crate) struct FinishedCase {
    pub(crate) path: Vec<String>,
    pub(crate) status: Status,
    /// In nanoseconds; none: since its start.
    pub(crate) duration: Option<u64>,
    pub(crate) reason: Option<String>,
    pub(crate) more: Attributes,
}

/// A program to start.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// Changes to the environment variables, in order: none removes a variable.
    pub(crate) env: Vec<(String, Option<String>)>,
    pub(crate) clear_env: bool,
    pub(crate) cwd: Option<String>,
    pub(crate) stdin: CommandInput,
    pub(crate) stdout: CommandOutput,
    pub(crate) stderr: CommandOutput,
    /// File descriptor 3.
    pub(crate) report: CommandOutput,
    pub(crate) more: Attributes,
}

/// The standard input of a command.
#[derive(Debug)]
pub(crate) enum CommandInput {
    Empty,
    Pipe,
    Bytes(Vec<u8>),
    /// The path of a file in the environment.
    File(String),
}

/// The destination of an output of a command.
#[derive(Debug)]
pub(crate) enum CommandOutput {
    Discard,
    /// A file in the task's directory, by its name.
    File(String),
    Pipe,
    /// Where standard output goes; for standard error only.
    WithStdout,
}

/// A file to download.
#[derive(Debug)]
pub(crate) struct DownloadSource {
    pub(crate) locations: Vec<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) more: Attributes,
}
