//! Owns a variant of a test as a varianter answers it. Does not know how tests and variants become
//! tasks.

use crate::Attributes;

/// One variant of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variation {
    /// The test's parameters. No two variants of a test have the same.
    pub parameters: Attributes,
    /// Open data for the tasks of this variant: `requirements`, `resources`, `timeout`.
    pub more: Attributes,
}
