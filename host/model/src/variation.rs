//! Owns a variant of a test as a varianter answers it. Does not know how tests and variants become
//! tasks.

use crate::{Attributes, Requirement};

/// One variant of a test, with what its tasks have in addition to the test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variation {
    /// The test's parameters. No two variants of a test have the same.
    pub parameters: Attributes,
    /// Requirements in addition to the test's own.
    pub requirements: Vec<Requirement>,
    /// What the tasks take while they run, by the name of the resource. This replaces what the test
    /// takes of the same resource.
    pub resources: Attributes,
    /// The limit on the tasks' running time, in nanoseconds; none for the test's own.
    pub timeout: Option<u64>,
}
