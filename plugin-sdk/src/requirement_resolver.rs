//! The world `requirement-resolver`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::requirement_resolver as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Requirement};

#[doc(inline)]
pub use crate::bindings::requirement_resolver::Presence;

/// Checks, fulfils and releases requirements of the kinds that it declares.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`status`](crate::status), [`fetch`](crate::fetch),
/// [`cache`](crate::cache).
///
/// The host understands in [`Description::more`]: `one-at-a-time` (boolean): in one environment it asks for one requirement of these
/// kinds after the other, as a package manager wants it; `unique-by` (json, a list of names): two requirements of one kind for which
/// these keyword arguments are the same and others are not cannot be met in one environment at once, as two versions of one package; `network` (boolean; default false): its processes need
/// the network, also where tests don't have it.
pub trait RequirementResolver {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// Looks whether a requirement is met, and changes nothing.
    ///
    /// # Errors
    /// The requirement counts as not met, and nothing is tried.
    fn check(request: &Request) -> Result<Presence, Error>;

    /// Makes it so. Called after [`check`](Self::check) has said [`Presence::Absent`], by the same instance.
    ///
    /// What is returned is kept by the host and given to [`release`](Self::release): what it takes to undo exactly this. The host
    /// understands `env` (json, an object of texts): variables for the tasks that need it.
    ///
    /// # Errors
    /// The requirement counts as not met; what was done is undone here, as far as that's possible.
    fn fulfil(request: &Request) -> Result<Attributes, Error>;

    /// Undoes a [`fulfil`](Self::fulfil), perhaps in another job, because the one that has fulfilled it was killed. `fulfilled` is
    /// then empty where the host did not live to hear of it. What is gone already is no error.
    ///
    /// # Errors
    /// The environment may not be as it was before; users are told.
    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error>;
}

/// A requirement, and what the host says beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// What is wanted.
    pub requirement: Requirement,
    /// The configuration keys that the plugin described.
    pub settings: Attributes,
    /// Open data: `output-dir`, `work-dir`, `job-temp-dir` and `project-dir` (text), directories in the environment.
    pub more: Attributes,
}

impl Request {
    /// A request as a test of a requirement resolver makes it.
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement,
            ..Self::default()
        }
    }

    /// Sets a configuration key.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }

    /// Sets a name of the open data.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }

    /// The directory, in the environment, for what is needed only during the attempt.
    pub fn work_dir(&self) -> Option<&str> {
        self.more.text("work-dir")
    }

    /// The directory, in the environment, that all tasks of the job share.
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
