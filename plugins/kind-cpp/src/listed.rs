//! Owns a test in a program's list. Does not know the form of a list.

/// A test in a program's list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ListedTest {
    /// The full name, by which the program finds it.
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
}
