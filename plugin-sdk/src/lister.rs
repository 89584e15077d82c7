//! Owns the world `lister`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::lister as raw;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::model::Runnable;
use crate::runner::Task;

/// Turns a runnable that stands for many tests, such as a compiled test program, into one runnable
/// for each of them, by running something in an environment. A [`Resolver`](crate::Resolver)
/// cannot: it reads and never runs.
///
/// The host calls a lister only where the user lets it run something of the project, and under the
/// same grants as a runner. It keeps the answer until a file on which it
/// [depends](Listing::depends_on) changes.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`messages`](crate::messages),
/// [`artifacts`](crate::artifacts), [`poll`](crate::poll),
/// [`monotonic_clock`](crate::monotonic_clock), [`pages`](crate::pages).
///
/// ```
/// use persea_plugin_sdk::artifacts;
/// use persea_plugin_sdk::prelude::*;
/// use persea_plugin_sdk::process::{self, Command, Output};
///
/// struct Suite;
///
/// impl Plugin for Suite {
///     fn describe() -> Description {
///         Description::new("suite", "lists the tests of a program").role(Role::lister(["suite"]))
///     }
/// }
///
/// impl Lister for Suite {
///     fn list_tests(task: &Task) -> Result<Listing, Error> {
///         let program = task.runnable.uri.as_deref().unwrap_or_default();
///         let list = Command::new(program).arg("--list").stdout(Output::file("list"));
///         if !process::run(&list)?.success() {
///             return Err(Error::new("failed", format!("{program} does not list its tests")));
///         }
///         let names = String::from_utf8_lossy(&artifacts::read("list", 0, 1 << 20)?).into_owned();
///         let test = |name: &str| Runnable::new("suite").uri(program).args([name]);
///         let tests: Vec<Runnable> = names.lines().map(test).collect();
///         Ok(Listing::new(tests).depends_on([program]))
///     }
/// }
///
/// export!(Suite: lister);
/// # use persea_plugin_sdk::testing::{Answer, Host, Processes};
/// # let answer = Answer::code(0).stdout("a\nb\n");
/// # let _host = Host::new().processes(Processes::always(answer)).install();
/// # let task = Task::new("1-t", Runnable::new("suite").uri("./t"));
/// # assert_eq!(Suite::list_tests(&task)?.tests.len(), 2);
/// # Ok::<(), Error>(())
/// ```
pub trait Lister {
    /// Lists the tests of one runnable. `task` is what a runner would get to run it.
    ///
    /// # Errors
    /// An error or a panic ends the reference of the runnable with ERROR; other references are not
    /// affected.
    fn list_tests(task: &Task) -> Result<Listing, Error>;
}

/// A lister's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The tests, in the order in which they run, after those that the lister added with
    /// [`pages::add_runnables`](crate::pages::add_runnables). A runnable of a kind that the
    /// lister's role names is not listed again: it is a test.
    pub tests: Vec<Runnable>,
    /// Further data. The host understands `depends-on` (json, a list of paths in the project): the
    /// files from which the answer was made. The host keeps the answer until the content of one of
    /// them changes, and keeps an answer without it for this job alone.
    pub more: Attributes,
}

impl Listing {
    /// Creates an answer that the host keeps for this job alone.
    pub fn new(tests: impl Into<Vec<Runnable>>) -> Self {
        Self {
            tests: tests.into(),
            more: Attributes::new(),
        }
    }

    /// Sets the files from which the answer was made: paths in the project. The host keeps the
    /// answer until the content of one of them changes.
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

impl<P: Lister> raw::Guest for Adapter<P> {
    fn list_tests(task: raw::Task) -> Result<raw::Listing, raw::Error> {
        start();
        let listing = P::list_tests(&task.into())?;
        Ok(raw::Listing {
            tests: listing.tests.into_iter().map(Into::into).collect(),
            more: listing.more.0,
        })
    }
}
