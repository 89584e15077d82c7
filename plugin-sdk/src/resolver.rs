//! The world `resolver`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::Attributes;
use crate::bindings::resolver as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Runnable};

/// Makes runnables of references.
///
/// Powers: [`log`](crate::log), [`workspace`](crate::workspace).
///
/// The host understands in [`Description::more`]: `order` (integer, 50 without it): resolvers are asked from the highest
/// to the lowest.
pub trait Resolver {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// Resolves one reference, as the user typed it or as the host found it in a directory. `settings` holds the keys
    /// that the plugin described. One instance may be asked for many references, one after the other.
    ///
    /// # Errors
    /// An error counts as [`Resolution::NotFound`], and is shown.
    fn resolve(reference: &str, settings: &Attributes) -> Result<Resolution, Error>;
}

/// What became of a reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It is mine, and these are its runnables, in order. None is an answer too: nothing in it to run.
    Found(Vec<Runnable>),
    /// It is not mine; the text says why, for a user whom nobody could help. The next resolver is asked.
    NotFound(String),
    /// It is mine, but broken; the text says what is wrong and where. No other resolver is asked.
    Corrupt(String),
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: Resolver,
{
    fn resolve(
        reference: String,
        settings: raw::Attributes,
    ) -> Result<raw::Resolution, raw::Error> {
        start();
        Ok(
            match E::Plugin::resolve(&reference, &Attributes(settings))? {
                Resolution::Found(runnables) => {
                    raw::Resolution::Found(runnables.into_iter().map(Into::into).collect())
                }
                Resolution::NotFound(why) => raw::Resolution::NotFound(why),
                Resolution::Corrupt(why) => raw::Resolution::Corrupt(why),
            },
        )
    }
}
