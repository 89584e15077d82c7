//! The world `requirement-resolver`: its trait, and the adapter between it and the generated code.

use crate::attributes::Attributes;
use crate::bindings::requirement_resolver as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Requirement};

#[doc(inline)]
pub use crate::bindings::requirement_resolver::Presence;

/// Checks, fulfils and releases requirements of the kinds that it declares.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`status`](crate::status).
pub trait RequirementResolver {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// Looks whether a requirement is met, and changes nothing.
    ///
    /// # Errors
    /// The requirement counts as not met, and nothing is tried.
    fn check(requirement: &Requirement, settings: &Attributes) -> Result<Presence, Error>;

    /// Makes it so. What is returned is kept by the host and given to [`release`](Self::release): what it takes to undo
    /// exactly this.
    ///
    /// # Errors
    /// The requirement counts as not met.
    fn fulfil(requirement: &Requirement, settings: &Attributes) -> Result<Attributes, Error>;

    /// Undoes a [`fulfil`](Self::fulfil).
    ///
    /// # Errors
    /// The environment may not be as it was before.
    fn release(
        requirement: &Requirement,
        settings: &Attributes,
        fulfilled: &Attributes,
    ) -> Result<(), Error>;
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: RequirementResolver,
{
    fn check(
        requirement: types::Requirement,
        settings: raw::Attributes,
    ) -> Result<Presence, raw::Error> {
        start();
        Ok(E::Plugin::check(
            &requirement.into(),
            &Attributes(settings),
        )?)
    }

    fn fulfil(
        requirement: types::Requirement,
        settings: raw::Attributes,
    ) -> Result<raw::Attributes, raw::Error> {
        start();
        Ok(E::Plugin::fulfil(&requirement.into(), &Attributes(settings))?.0)
    }

    fn release(
        requirement: types::Requirement,
        settings: raw::Attributes,
        fulfilled: raw::Attributes,
    ) -> Result<(), raw::Error> {
        start();
        Ok(E::Plugin::release(
            &requirement.into(),
            &Attributes(settings),
            &Attributes(fulfilled),
        )?)
    }
}
