//! Owns the world `requirement-resolver`: its trait, its data, and the adapter to the generated
//! code.

use crate::attributes::{Attributes, Value};
use crate::bindings::requirement_resolver as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::model::{Requirement, strings};
use crate::runner::{add_lease, leases};

#[doc(inline)]
pub use crate::bindings::requirement_resolver::Presence;

/// Checks, fulfils and releases requirements of the kinds that its
/// [role](crate::Role::requirement_resolver) names.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`messages`](crate::messages),
/// [`artifacts`](crate::artifacts), [`fetch`](crate::fetch), [`cache`](crate::cache),
/// [`poll`](crate::poll), [`monotonic_clock`](crate::monotonic_clock). Processes run in the
/// environment of the tasks that have the requirement.
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::process::{self, Command};
///
/// struct Directory;
///
/// impl Plugin for Directory {
///     fn describe() -> Description {
///         Description::new("directory", "makes a directory")
///             .role(Role::requirement_resolver(["directory"]))
///     }
/// }
///
/// impl RequirementResolver for Directory {
///     fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
///         let exit = process::run(&Command::new("test").args(["-d", path(request)?]))?;
///         let presence = if exit.success() { Presence::Present } else { Presence::Absent };
///         Ok(presence.into())
///     }
///
///     fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
///         let path = path(request)?;
///         if !process::run(&Command::new("mkdir").arg(path))?.success() {
///             return Err(Error::new("failed", format!("the directory {path} cannot be made")));
///         }
///         Ok(FulfilledRequirement::new().undo("path", path))
///     }
///
///     fn release(request: &ReleaseRequest) -> Result<(), Error> {
///         let undo = request.undo.as_ref();
///         if let Some(path) = undo.and_then(|undo| undo.text("path")) {
///             process::run(&Command::new("rmdir").arg(path))?;
///         }
///         Ok(())
///     }
/// }
///
/// fn path(request: &RequirementRequest) -> Result<&str, Error> {
///     let uri = request.requirement.uri.as_deref();
///     uri.ok_or_else(|| Error::new("invalid", "a requirement of kind directory needs a uri"))
/// }
///
/// export!(Directory: requirement_resolver);
/// # use persea_plugin_sdk::testing::{Answer, Host, Processes};
/// # let _host = Host::new().processes(Processes::always(Answer::code(1))).install();
/// # let request = RequirementRequest::new(Requirement::new("directory").uri("/srv/x"));
/// # assert_eq!(Directory::check(&request), Ok(Presence::Absent.into()));
/// ```
///
/// The host understands in [`Role::more`](crate::Role::more):
///
/// * `one-at-a-time` (boolean; default false): the host handles at most one requirement of these
///   kinds at a time in an environment, as package managers need.
/// * `unique-by` (json, a list of names of keyword arguments): two requirements of one kind
///   conflict if these arguments are equal and any others differ, such as two versions of one
///   package. An environment cannot fulfil both at once.
/// * `network` (boolean; default false): the processes of the resolver have network access, even
///   where tests do not.
/// * `on-leases` (boolean; default false): a requirement whose scope is the task is met on the
///   instances of resources that the task holds, such as a board. It then has nothing to do with an
///   equal requirement of a task that holds other instances, and both are handled side by side.
///
/// Where the spawner can restore an environment to an earlier state, the host fulfils requirements
/// in an environment of their own, keeps that environment's state and starts the tests from it. It
/// then never calls [`release`](Self::release).
pub trait RequirementResolver {
    /// Checks whether a requirement is met, and changes nothing.
    ///
    /// # Errors
    /// After an error the requirement counts as not met, and the host does not call
    /// [`fulfil`](Self::fulfil). An error of the [infrastructure](Error::infrastructure) says that
    /// another attempt may succeed.
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error>;

    /// Fulfils a requirement. The host calls this on the same instance, after
    /// [`check`](Self::check) returned [`Presence::Absent`].
    ///
    /// # Errors
    /// After an error the requirement counts as not met. Before it returns an error, the plugin
    /// should undo what it did, as far as possible. An error of the
    /// [infrastructure](Error::infrastructure) says that another attempt may succeed.
    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error>;

    /// Undoes [`fulfil`](Self::fulfil). The plugin must accept that some or all of what it undoes
    /// is gone already.
    ///
    /// # Errors
    /// After an error the host warns the user that the environment may not be as it was.
    fn release(request: &ReleaseRequest) -> Result<(), Error>;
}

/// A requirement, with its surroundings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequirementRequest {
    /// The requirement to handle.
    pub requirement: Requirement,
    /// The plugin's settings.
    pub settings: Attributes,
    /// Further data. The host sets these directories, each an absolute path in the environment:
    ///
    /// * `output-dir` (text): for files that are kept as results of this attempt
    /// * `work-dir` (text): for temporary files; empty at the start
    /// * `job-temp-dir` (text): shared by all tasks of the job
    /// * `project-dir` (text): the working directory of the processes
    ///
    /// and, where the requirement's scope is a task:
    ///
    /// * `leases` (json, an object of lists of texts): the instances of each resource that the task
    ///   holds, such as the board on which to install
    /// * `variant` (json): the variant of the task
    pub more: Attributes,
}

impl RequirementRequest {
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

    /// The instances of a resource that the task holds, where the requirement's scope is a task.
    pub fn leases(&self, resource: &str) -> Vec<String> {
        leases(&self.more, resource)
    }

    /// Adds instances of a resource that the task holds, for unit tests.
    #[must_use]
    pub fn lease<I: IntoIterator<Item: Into<String>>>(
        mut self,
        resource: impl Into<String>,
        instances: I,
    ) -> Self {
        add_lease(&mut self.more, resource.into(), strings(instances));
        self
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedRequirement {
    /// The state of the requirement.
    pub presence: Presence,
    /// Further data. The host understands `reason` (text): why the requirement cannot be fulfilled.
    pub more: Attributes,
}

impl CheckedRequirement {
    /// The requirement cannot be fulfilled in this environment, for this reason.
    pub fn impossible(reason: impl Into<String>) -> Self {
        let mut checked = Self::from(Presence::Impossible);
        checked.more.insert("reason", reason.into());
        checked
    }
}

impl From<Presence> for CheckedRequirement {
    fn from(presence: Presence) -> Self {
        Self {
            presence,
            more: Attributes::new(),
        }
    }
}

/// The result of [`RequirementResolver::fulfil`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FulfilledRequirement {
    /// What [`release`](RequirementResolver::release) needs to undo exactly this; the host keeps it
    /// in the journal.
    pub undo: Attributes,
    /// Further data. The host understands:
    ///
    /// * `env` (json, an object of texts): environment variables for the tasks that have the
    ///   requirement, for instance the path of a downloaded file. With `env`,
    ///   [`check`](RequirementResolver::check) may return [`Presence::Absent`] every time.
    pub more: Attributes,
}

impl FulfilledRequirement {
    /// Creates a result with nothing to undo.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an entry of [`undo`](Self::undo).
    #[must_use]
    pub fn undo(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.undo.insert(name, value);
        self
    }

    /// Sets the environment variables for the tasks that have the requirement.
    #[must_use]
    pub fn env<I, N, T>(self, variables: I) -> Self
    where
        I: IntoIterator<Item = (N, T)>,
        N: AsRef<str>,
        T: AsRef<str>,
    {
        self.with("env", Value::object(variables))
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// A requirement that is no longer needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReleaseRequest {
    /// The requirement, with its surroundings.
    pub request: RequirementRequest,
    /// What [`fulfil`](RequirementResolver::fulfil) returned; none if the host was killed before it
    /// could record that. After such a kill it is a later job that releases the requirement.
    pub undo: Option<Attributes>,
    /// Further data. The host sets `fulfilled-by` (text), the version of the plugin that fulfilled
    /// the requirement.
    pub more: Attributes,
}

impl ReleaseRequest {
    /// Creates a request, for unit tests.
    pub fn new(request: RequirementRequest, undo: Option<Attributes>) -> Self {
        Self {
            request,
            undo,
            more: Attributes::new(),
        }
    }
}

impl From<raw::Request> for RequirementRequest {
    fn from(request: raw::Request) -> Self {
        Self {
            requirement: request.requirement.into(),
            settings: Attributes(request.settings),
            more: Attributes(request.more),
        }
    }
}

impl<P: RequirementResolver> raw::Guest for Adapter<P> {
    fn check(request: raw::Request) -> Result<raw::CheckedRequirement, raw::Error> {
        start();
        let checked = P::check(&request.into())?;
        Ok(raw::CheckedRequirement {
            presence: checked.presence,
            more: checked.more.0,
        })
    }

    fn fulfil(request: raw::Request) -> Result<raw::FulfilledRequirement, raw::Error> {
        start();
        let fulfilled = P::fulfil(&request.into())?;
        Ok(raw::FulfilledRequirement {
            undo: fulfilled.undo.0,
            more: fulfilled.more.0,
        })
    }

    fn release(request: raw::ReleaseRequest) -> Result<types::Done, raw::Error> {
        start();
        P::release(&ReleaseRequest {
            request: request.request.into(),
            undo: request.undo.map(Attributes),
            more: Attributes(request.more),
        })?;
        Ok(types::Done { more: Vec::new() })
    }
}
