//! Owns the world `varianter`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;
use crate::bindings::varianter as raw;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::model::Runnable;
use std::time::Duration;

/// Decides in which variants a test runs, and with which parameters. A varianter reads the
/// project's files and starts nothing.
///
/// A suite of a job file has at most one varianter, which it selects by name: `variants.plugin =
/// "NAME"`. The host asks it after the suite's references are resolved and before the plan is made.
///
/// Powers: [`log`](crate::log), [`workspace`](crate::workspace), [`pages`](crate::pages).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
///
/// struct Times;
///
/// impl Plugin for Times {
///     fn describe() -> Description {
///         Description::new("times", "runs each test several times").role(Role::varianter())
///     }
/// }
///
/// impl Varianter for Times {
///     fn vary(request: &VaryRequest) -> Result<Vec<Variation>, Error> {
///         let times = request.parameters.integer("times").unwrap_or(1);
///         Ok((1..=times).map(|time| Variation::new().parameter("time", time)).collect())
///     }
/// }
///
/// export!(Times: varianter);
///
/// let request = VaryRequest::new(Runnable::new("exec-test").uri("./t.sh")).parameter("times", 2);
/// let expected = [Variation::new().parameter("time", 1), Variation::new().parameter("time", 2)];
/// assert_eq!(Times::vary(&request).unwrap(), expected);
/// ```
pub trait Varianter {
    /// Returns the variants of a test, in the order in which they run, after those that the
    /// varianter added with [`pages::add_variations`](crate::pages::add_variations); 1,000,000 at
    /// most. No two may have the same parameters. Without any the test does not run. The host calls
    /// this once for each test of a suite, one after the other and all on one instance.
    ///
    /// # Errors
    /// An error, a panic or a time-out (30 s for each call by default) ends the job before any test
    /// runs.
    fn vary(request: &VaryRequest) -> Result<Vec<Variation>, Error>;
}

/// A test, and the parameters of its suite's variants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VaryRequest {
    /// The test, with everything that its suite adds to it.
    pub runnable: Runnable,
    /// Everything in the suite's `variants` but `plugin`. Lists and tables are [`Value::Json`].
    pub parameters: Attributes,
    /// The plugin's settings.
    pub settings: Attributes,
    /// Further data. The host sets `suite` (text), the suite's name.
    pub more: Attributes,
}

impl VaryRequest {
    /// Creates a request without parameters and settings, for unit tests.
    pub fn new(runnable: Runnable) -> Self {
        Self {
            runnable,
            ..Self::default()
        }
    }

    /// Sets an entry of the suite's `variants`.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name, value);
        self
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

    /// The name of the suite.
    pub fn suite(&self) -> Option<&str> {
        self.more.text("suite")
    }
}

/// One variant of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variation {
    /// The test's parameters: texts, numbers and booleans.
    pub parameters: Attributes,
    /// Further data. The host understands, for the tasks of this variant and in addition to what
    /// the test has:
    ///
    /// * `requirements` (json, a list of objects with `kind`, `uri`, `args`, `kwargs` and `more`)
    /// * `resources` (json, an object, as that of a runnable): they replace those of the test that
    ///   have the same names
    /// * `timeout` (integer, nanoseconds): instead of the test's own
    pub more: Attributes,
}

impl Variation {
    /// Creates a variant without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter: a text, a number or a boolean.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name, value);
        self
    }

    /// Sets the limit on the running time of the variant's tasks, instead of the test's own.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        self.with("timeout", limit)
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Variation {
    /// Creates a variant with these parameters.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(parameters: I) -> Self {
        Self {
            parameters: parameters.into_iter().collect(),
            more: Attributes::new(),
        }
    }
}

impl From<raw::Request> for VaryRequest {
    fn from(request: raw::Request) -> Self {
        Self {
            runnable: request.runnable.into(),
            parameters: Attributes(request.parameters),
            settings: Attributes(request.settings),
            more: Attributes(request.more),
        }
    }
}

impl From<Variation> for types::Variation {
    fn from(variant: Variation) -> Self {
        Self {
            parameters: variant.parameters.0,
            more: variant.more.0,
        }
    }
}

impl<P: Varianter> raw::Guest for Adapter<P> {
    fn vary(request: raw::Request) -> Result<raw::Variations, raw::Error> {
        start();
        let variations = P::vary(&request.into())?;
        Ok(raw::Variations {
            variations: variations.into_iter().map(Into::into).collect(),
            more: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variant_is_collected_from_its_parameters() {
        let made: Variation = [("os", "linux"), ("cpu", "arm")].into_iter().collect();
        let set = Variation::new()
            .parameter("os", "hurd")
            .parameter("cpu", "arm")
            .parameter("os", "linux");
        assert_eq!(made, set);
    }
}
