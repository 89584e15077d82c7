//! Owns the variants of a suite's tests: each test once with each set of parameters, from axes or
//! from a varianter plugin. Does not know what the parameters mean.

mod additions;
mod asked;
mod axes;
mod parameters;

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use self::additions::VariantAdditions;
use self::asked::{ChosenVarianter, LiveVarianter};
use self::axes::Axes;
use self::parameters::Parameters;
use persea_config::Config;
use persea_model::Runnable;
use persea_plugin::{Catalog, Plugin, PluginError};

/// The most variants of one test; more are taken for a mistake.
const MAX_VARIANTS: usize = 100_000;

/// Why the variants of a suite's tests cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VariantsError {
    /// No varianter has that name.
    #[error("no varianter is named `{name}` (`variants.plugin`): {known}")]
    NoVarianter {
        /// The name in the job file.
        name: String,
        /// The existing varianters, or how to add one.
        known: String,
    },
    /// The varianter failed at its start.
    #[error("the varianter failed at its start: {0}")]
    Begin(PluginError),
    /// The varianter failed on a test.
    #[error("the variants of `{test}` cannot be made: {error}")]
    Failed {
        /// The test's name.
        test: String,
        /// The varianter's failure.
        error: PluginError,
    },
    /// The varianter returned invalid variants.
    #[error("the variants of `{test}` are invalid: {plugin} answered with {message}")]
    Answer {
        /// The test's name.
        test: String,
        /// The plugin.
        plugin: String,
        /// What is wrong.
        message: String,
    },
}

/// The variants of a suite, as its job file describes them.
#[derive(Debug)]
pub(crate) enum Variants {
    /// The combinations of values on axes.
    Axes(Axes),
    /// The answers of a varianter plugin.
    Plugin(ChosenVarianter),
}

/// The source of the variants of a suite's tests.
pub(crate) enum VariantSource<'a> {
    Axes(&'a Axes),
    Plugin(LiveVarianter<'a>),
}

impl Variants {
    /// Checks the description.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Axes(axes) => axes.check(),
            // The plugin checks its own parameters.
            Self::Plugin(_) => Ok(()),
        }
    }

    /// Prepares the source for the suite with this name.
    pub(crate) async fn begin(
        &self,
        catalog: &Catalog,
        config: &Config,
        suite: &str,
    ) -> Result<VariantSource<'_>, VariantsError> {
        Ok(match self {
            Self::Axes(axes) => VariantSource::Axes(axes),
            Self::Plugin(chosen) => {
                VariantSource::Plugin(chosen.begin(catalog, config, suite).await?)
            }
        })
    }
}

impl VariantSource<'_> {
    /// The varianter plugin, if there is one.
    pub(crate) fn plugin(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Axes(_) => None,
            Self::Plugin(asked) => Some(&asked.plugin),
        }
    }

    /// The variants of a test, in order.
    pub(crate) async fn of(&mut self, runnable: &Runnable) -> Result<VariantSet, VariantsError> {
        match self {
            Self::Axes(axes) => Ok(VariantSet {
                parameters: axes.combinations(),
                additions: Vec::new(),
            }),
            Self::Plugin(asked) => asked.variants(runnable).await,
        }
    }
}

/// The variants of one test.
pub(crate) struct VariantSet {
    parameters: Vec<Parameters>,
    /// What each variant adds to the test, in the order of `parameters`; empty where no variant
    /// adds anything.
    additions: Vec<VariantAdditions>,
}

impl VariantSet {
    /// What [`VariantSet::each`] takes of the host's memory, in bytes, for a test that takes this
    /// much.
    pub(crate) fn weight(&self, of_test: u64) -> u64 {
        let additions = self.additions.iter().map(VariantAdditions::weight);
        let tests = of_test.saturating_mul(self.parameters.len() as u64);
        additions.fold(tests, u64::saturating_add)
    }

    /// Returns the test once with each variant's parameters and additions.
    pub(crate) fn each(self, runnable: &Runnable) -> Vec<Runnable> {
        let mut all = parameters::with_each(runnable, &self.parameters);
        for (variant, additions) in all.iter_mut().zip(self.additions) {
            additions.add_to(variant);
        }
        all
    }
}

impl<'de> Deserialize<'de> for Variants {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(from)?;
        match table.remove("plugin") {
            None => {
                let axes = Axes::deserialize(table);
                axes.map(Self::Axes)
                    .map_err(|error| D::Error::custom(error.message()))
            }
            Some(toml::Value::String(name)) => Ok(Self::Plugin(ChosenVarianter::new(name, table))),
            Some(_) => Err(D::Error::custom(
                "`plugin` is a text, the name of a varianter",
            )),
        }
    }
}
