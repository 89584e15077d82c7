//! Owns the world `resolver`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::resolver as raw;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::model::Runnable;

/// Turns references into runnables. A resolver reads the project's files and starts nothing.
///
/// Powers: [`log`](crate::log), [`workspace`](crate::workspace), [`pages`](crate::pages).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::workspace;
///
/// struct Lua;
///
/// impl Plugin for Lua {
///     fn describe() -> Description {
///         Description::new("lua", "finds Lua scripts")
///             .role(Role::resolver(["exec-test"]).with("order", 40))
///     }
/// }
///
/// impl Resolver for Lua {
///     fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
///         let reference = request.reference.as_str();
///         if !reference.ends_with(".lua") {
///             return Ok(Resolution::not_found("the name does not end in .lua"));
///         }
///         Ok(match workspace::stat(reference)?.size {
///             0 => Resolution::corrupt(format!("{reference} is empty")),
///             _ => Resolution::found([Runnable::new("exec-test").uri("lua").args([reference])])
///                 .depends_on([reference]),
///         })
///     }
/// }
///
/// export!(Lua: resolver);
/// # use persea_plugin_sdk::testing::{Files, Host};
/// # let _host = Host::new().files(Files::new().file("a.lua", "x").file("b.lua", "")).install();
/// # let corrupt = Resolution::corrupt("b.lua is empty");
/// # assert_eq!(Lua::resolve(&ResolveRequest::new("b.lua")), Ok(corrupt));
/// # let found = Lua::resolve(&ResolveRequest::new("a.lua"))?;
/// # assert_eq!(found.more.list("depends-on").as_deref(), Some(&["a.lua".to_owned()][..]));
/// # Ok::<(), Error>(())
/// ```
///
/// The host understands in [`Role::more`](crate::Role::more) `order` (integer; default 50), the
/// resolver's priority. The host asks resolvers from the highest order to the lowest, and by name
/// within one order, unless the setting `plugins.resolver.order` says otherwise. Avocado's HIGH is
/// 70, NORMAL 50, LOW 30, VERY_LOW 1 and LAST_RESORT 0.
pub trait Resolver {
    /// Resolves one reference. The host may ask one instance about many references, one after the
    /// other.
    ///
    /// A message that the resolver [logs](crate::log) at level `Warn` or `Error` during the call is
    /// a warning about the reference: it may have tests that were not found. The host counts such
    /// references, writes each warning to the journal and to reports, and refuses to run the job
    /// when `run.strict` is set.
    ///
    /// # Errors
    /// An error counts as [`Finding::NotFound`], and is shown. After a panic, a limit or a
    /// time-out (30 s by default) the reference ends with ERROR, and the host asks no other
    /// resolver.
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error>;
}

/// What to resolve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolveRequest {
    /// A text that the user typed, or the path of a file that the host found in a directory.
    pub reference: String,
    /// The plugin's settings.
    pub settings: Attributes,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

impl ResolveRequest {
    /// Creates a request without settings, for unit tests.
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            ..Self::default()
        }
    }

    /// Sets the value of a setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }
}

/// A resolver's answer about one reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// What the resolver found.
    pub finding: Finding,
    /// Further data. The host understands `depends-on` (json, a list of paths): the files from
    /// which the answer was made, so that it can be kept until one of them changes. No host keeps
    /// answers of resolvers yet.
    pub more: Attributes,
}

/// What a resolver found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// This resolver handles the reference, which stands for these runnables, in order, after those
    /// that it added with [`pages::add_runnables`](crate::pages::add_runnables). An empty list is a
    /// valid answer: there is nothing to run.
    Found(Vec<Runnable>),
    /// This resolver does not handle the reference; the text says why. The host asks the next
    /// resolver, and shows the text only if no resolver handles the reference.
    NotFound(String),
    /// This resolver handles the reference, but what it names is broken; the text says what is
    /// wrong, and where. The host asks no other resolver.
    Corrupt(String),
}

impl Resolution {
    /// [`Finding::Found`]: the reference stands for these runnables.
    pub fn found(runnables: impl Into<Vec<Runnable>>) -> Self {
        Finding::Found(runnables.into()).into()
    }

    /// [`Finding::NotFound`]: this resolver does not handle the reference.
    pub fn not_found(why: impl Into<String>) -> Self {
        Finding::NotFound(why.into()).into()
    }

    /// [`Finding::Corrupt`]: this resolver handles the reference, but what it names is broken.
    pub fn corrupt(why: impl Into<String>) -> Self {
        Finding::Corrupt(why.into()).into()
    }

    /// Sets the files from which the answer was made: paths in the project. The host can keep the
    /// answer until one of them changes.
    #[must_use]
    pub fn depends_on<I: IntoIterator<Item: AsRef<str>>>(self, paths: I) -> Self {
        self.with("depends-on", Value::list(paths))
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl From<Finding> for Resolution {
    fn from(finding: Finding) -> Self {
        Self {
            finding,
            more: Attributes::new(),
        }
    }
}

impl<P: Resolver> raw::Guest for Adapter<P> {
    fn resolve(request: raw::Request) -> Result<raw::Resolution, raw::Error> {
        start();
        let resolution = P::resolve(&ResolveRequest {
            reference: request.reference,
            settings: Attributes(request.settings),
            more: Attributes(request.more),
        })?;
        let finding = match resolution.finding {
            Finding::Found(runnables) => {
                raw::Finding::Found(runnables.into_iter().map(Into::into).collect())
            }
            Finding::NotFound(why) => raw::Finding::NotFound(why),
            Finding::Corrupt(why) => raw::Finding::Corrupt(why),
        };
        Ok(raw::Resolution {
            finding,
            more: resolution.more.0,
        })
    }
}
