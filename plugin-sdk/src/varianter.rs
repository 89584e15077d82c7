//! The world `varianter`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::varianter as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Runnable};

/// Says in which variants the tests of a suite are run, and with which parameters. A suite of a job file chooses it by its name:
/// `variants.plugin = "NAME"`.
///
/// Powers: [`log`](crate::log), [`workspace`](crate::workspace).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
///
/// struct Times;
///
/// impl Varianter for Times {
///     fn describe() -> Description {
///         Description::new("times", "each test as often as is said")
///     }
///
///     fn vary(request: &VaryRequest) -> Result<Vec<Variant>, Error> {
///         let times = request.parameters.integer("times").unwrap_or(1);
///         Ok((1..=times).map(|time| Variant::new().parameter("time", time)).collect())
///     }
/// }
///
/// export!(varianter: Times);
///
/// let request = VaryRequest::new(Runnable::new("exec-test").uri("./t.sh")).parameter("times", 2);
/// let expected = [Variant::new().parameter("time", 1), Variant::new().parameter("time", 2)];
/// assert_eq!(Times::vary(&request).unwrap(), expected);
/// ```
pub trait Varianter {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// The variants of a test, in the order in which they are to be run, at most 100,000. No two may have the same parameters. With none at
    /// all the test is not run. Asked once for each test of a suite; one instance is asked for all of them, one after the other.
    ///
    /// # Errors
    /// The job ends before anything is run, and users are told.
    fn vary(request: &VaryRequest) -> Result<Vec<Variant>, Error>;
}

/// A test, and what the job file says of the variants of its suite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VaryRequest {
    /// The test, with all that its suite gives to it.
    pub runnable: Runnable,
    /// All that the suite's `variants` hold beside `plugin`. Lists and tables are [`Value::Json`].
    pub parameters: Attributes,
    /// The configuration keys that the plugin described.
    pub settings: Attributes,
    /// Open data: `suite` (text), the suite's name.
    pub more: Attributes,
}

impl VaryRequest {
    /// A request as a test of a varianter makes it.
    pub fn new(runnable: Runnable) -> Self {
        Self {
            runnable,
            ..Self::default()
        }
    }

    /// Sets what the job file says under a name.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name, value);
        self
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

    /// The name of the suite.
    pub fn suite(&self) -> Option<&str> {
        self.more.text("suite")
    }
}

/// One variant of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// What the test is given, by name: texts, numbers and truth values.
    pub parameters: Attributes,
    /// Open data. The host understands no name yet.
    pub more: Attributes,
}

impl Variant {
    /// A variant without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter: a text, a number or a truth value.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name, value);
        self
    }

    /// Sets a name of the open data.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for Variant {
    /// A variant with these parameters.
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

impl From<Variant> for raw::Variant {
    fn from(variant: Variant) -> Self {
        Self {
            parameters: variant.parameters.0,
            more: variant.more.0,
        }
    }
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: Varianter,
{
    fn vary(request: raw::Request) -> Result<Vec<raw::Variant>, raw::Error> {
        start();
        let variants = E::Plugin::vary(&request.into())?;
        Ok(variants.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_made_of_its_parameters() {
        let made: Variant = [("os", "linux"), ("cpu", "arm")].into_iter().collect();
        let set = Variant::new()
            .parameter("os", "hurd")
            .parameter("cpu", "arm")
            .parameter("os", "linux");
        assert_eq!(made, set);
    }
}
