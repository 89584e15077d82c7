//! Owns the world `requirement-resolver`: its trait, its data, and the adapter to the generated
//! code.

use crate::attributes::{Attributes, Value};
use crate::bindings::requirement_resolver as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Requirement};

#[doc(inline)]
pub use crate::bindings::requirement_resolver::Presence;

/// Checks, fulfils and releases requirements of the kinds that its description names.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`status`](crate::status),
/// [`fetch`](crate::fetch), [`cache`](crate::cache). Processes run in the environment of the tasks
/// that have the requirement.
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::process::{self, Command};
///
/// struct Directory;
///
/// impl RequirementResolver for Directory {
///     fn describe() -> Description {
///         Description::new("directory", "makes a directory").kinds(["directory"])
///     }
///
///     fn check(request: &Request) -> Result<Presence, Error> {
///         let exit = process::run(&Command::new("test").args(["-d", path(request)?]))?;
///         Ok(if exit.code == Some(0) { Presence::Present } else { Presence::Absent })
///     }
///
///     fn fulfil(request: &Request) -> Result<Attributes, Error> {
///         let path = path(request)?;
///         match process::run(&Command::new("mkdir").arg(path))?.code {
///             Some(0) => Ok(Attributes::new().with("path", path)),
///             _ => Err(Error::new("failed", format!("the directory {path} cannot be made"))),
///         }
///     }
///
///     fn release(_: &Request, fulfilled: &Attributes) -> Result<(), Error> {
///         if let Some(path) = fulfilled.text("path") {
///             process::run(&Command::new("rmdir").arg(path))?;
///         }
///         Ok(())
///     }
/// }
///
/// fn path(request: &Request) -> Result<&str, Error> {
///     let uri = request.requirement.uri.as_deref();
///     uri.ok_or_else(|| Error::new("invalid", "a requirement of kind directory needs a uri"))
/// }
///
/// export!(requirement_resolver: Directory);
/// # use persea_plugin_sdk::testing::{Answer, Host, Processes};
/// # let _host = Host::new().processes(Processes::always(Answer::code(1))).install();
/// # let request = Request::new(Requirement::new("directory").uri("/srv/x"));
/// # assert_eq!(Directory::check(&request), Ok(Presence::Absent));
/// ```
///
/// The host understands in [`Description::more`]:
///
/// * `one-at-a-time` (boolean; default false): the host handles at most one requirement of these
///   kinds at a time in an environment, as package managers need.
/// * `unique-by` (json, a list of names of keyword arguments): two requirements of one kind
///   conflict if these arguments are equal and any others differ, such as two versions of one
///   package. An environment cannot fulfil both at once.
/// * `network` (boolean; default false): the processes of the resolver have network access, even
///   where tests do not.
///
/// Where the spawner can restore an environment to an earlier state, the host fulfils requirements
/// in an environment of their own, keeps that environment's state and starts the tests from it. It
/// then never calls [`release`](Self::release).
pub trait RequirementResolver {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Checks whether a requirement is met, and changes nothing.
    ///
    /// # Errors
    /// After an error the requirement counts as not met, and the host does not call
    /// [`fulfil`](Self::fulfil).
    fn check(request: &Request) -> Result<Presence, Error>;

    /// Fulfils a requirement. The host calls this on the same instance, after
    /// [`check`](Self::check) returned [`Presence::Absent`].
    ///
    /// The result is what [`release`](Self::release) needs to undo exactly this; the host keeps it
    /// in the journal. The host understands `env` (json, an object of texts): environment variables
    /// for the tasks that have the requirement, for instance the path of a downloaded file. With
    /// `env`, [`check`](Self::check) may return [`Presence::Absent`] every time.
    ///
    /// # Errors
    /// After an error the requirement counts as not met. Before it returns an error, the plugin
    /// should undo what it did, as far as possible.
    fn fulfil(request: &Request) -> Result<Attributes, Error>;

    /// Undoes [`fulfil`](Self::fulfil). `fulfilled` is what that returned, or empty if the host was
    /// killed before it could record that. After such a kill it is a later job that calls this
    /// function. The plugin must accept that some or all of what it undoes is gone already.
    ///
    /// # Errors
    /// After an error the host warns the user that the environment may not be as it was.
    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error>;
}

/// A requirement, with its surroundings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The requirement to handle.
    pub requirement: Requirement,
    /// The settings that the plugin's description asks for.
    pub settings: Attributes,
    /// Further data. The host sets these directories, each an absolute path in the environment:
    ///
    /// * `output-dir` (text): for files that are kept as results of this attempt
    /// * `work-dir` (text): for temporary files; empty at the start
    /// * `job-temp-dir` (text): shared by all tasks of the job
    /// * `project-dir` (text): the working directory of the processes
    pub more: Attributes,
}

impl Request {
    /// Creates a request without settings and directories, for unit tests.
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement,
            ..Self::default()
        }
    }

    /// Sets the value of a setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }

    /// The directory for temporary files, in the environment; empty at the start.
    pub fn work_dir(&self) -> Option<&str> {
        self.more.text("work-dir")
    }

    /// The directory that all tasks of the job share, in the environment.
    pub fn job_temp_dir(&self) -> Option<&str> {
        self.more.text("job-temp-dir")
    }
}

impl From<raw::Request> for Request {
    fn from(request: raw::Request) -> Self {
        Self {
            requirement: request.requirement.into(),
            settings: Attributes(request.settings),
            more: Attributes(request.more),
        }
    }
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: RequirementResolver,
{
    fn check(request: raw::Request) -> Result<Presence, raw::Error> {
        start();
        Ok(E::Plugin::check(&request.into())?)
    }

    fn fulfil(request: raw::Request) -> Result<raw::Attributes, raw::Error> {
        start();
        Ok(E::Plugin::fulfil(&request.into())?.0)
    }

    fn release(request: raw::Request, fulfilled: raw::Attributes) -> Result<(), raw::Error> {
        start();
        Ok(E::Plugin::release(&request.into(), &Attributes(fulfilled))?)
    }
}
