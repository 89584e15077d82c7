//! Variants: each test of a suite once with each set of parameters that is wanted, from axes or from a plugin. It must not know what the
//! parameters are for.

mod asked;
mod axes;
mod parameters;

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use self::asked::{Asked, Chosen};
use self::axes::Axes;
use self::parameters::Parameters;
use persea_config::Config;
use persea_model::Runnable;
use persea_plugin::{Catalog, Plugin, PluginError};

/// The most variants of one test: what is more is taken for a mistake.
const MOST: usize = 100_000;

/// What keeps the tests of a suite from their variants.
#[derive(Debug, thiserror::Error)]
pub enum VariantsError {
    /// Nobody has the name of the varianter.
    #[error("no varianter is named `{name}` (`variants.plugin`): {known}")]
    NoVarianter {
        /// What the job file says.
        name: String,
        /// Those there are, or the way out.
        known: String,
    },
    /// The varianter cannot begin.
    #[error("the varianter cannot begin: {0}")]
    Begin(PluginError),
    /// The varianter failed over a test.
    #[error("the variants of `{test}` are not known: {error}")]
    Failed {
        /// What people call the test.
        test: String,
        /// What became of the plugin.
        error: PluginError,
    },
    /// The varianter answered with what makes no sense.
    #[error("the variants of `{test}` make no sense: {plugin} answered with {message}")]
    Answer {
        /// What people call the test.
        test: String,
        /// The plugin.
        plugin: String,
        /// What is wrong.
        message: String,
    },
}

/// What a job file says of the variants of a suite.
#[derive(Debug)]
pub(crate) enum Variants {
    /// All combinations of values.
    Axes(Axes),
    /// What a plugin makes of it.
    Plugin(Chosen),
}

/// What makes the variants of one test after the other.
pub(crate) enum Maker<'a> {
    Axes(&'a Axes),
    Plugin(Asked<'a>),
}

impl Variants {
    /// What is wrong with them.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Axes(axes) => axes.check(),
            // What the plugin is told is for the plugin to judge.
            Self::Plugin(_) => Ok(()),
        }
    }

    /// Readies what makes them for the suite with this name.
    pub(crate) async fn begin(
        &self,
        catalog: &Catalog,
        config: &Config,
        suite: &str,
    ) -> Result<Maker<'_>, VariantsError> {
        Ok(match self {
            Self::Axes(axes) => Maker::Axes(axes),
            Self::Plugin(chosen) => Maker::Plugin(chosen.begin(catalog, config, suite).await?),
        })
    }
}

impl Maker<'_> {
    /// The plugin whose parameters they are, if they are one's.
    pub(crate) fn plugin(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Axes(_) => None,
            Self::Plugin(asked) => Some(&asked.plugin),
        }
    }

    /// The parameters of all variants of a test, in order.
    pub(crate) async fn of(&mut self, runnable: &Runnable) -> Result<Parametrised, VariantsError> {
        let all = match self {
            Self::Axes(axes) => axes.combinations(),
            Self::Plugin(asked) => asked.variants(runnable).await?,
        };
        Ok(Parametrised(all))
    }
}

/// The parameters of each variant of a test.
pub(crate) struct Parametrised(Vec<Parameters>);

impl Parametrised {
    /// How many variants there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The test once with each of them.
    pub(crate) fn each(&self, runnable: &Runnable) -> Vec<Runnable> {
        parameters::with_each(runnable, &self.0)
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
            Some(toml::Value::String(name)) => Ok(Self::Plugin(Chosen::new(name, table))),
            Some(_) => Err(D::Error::custom(
                "`plugin` is a text, the name of a varianter",
            )),
        }
    }
}
