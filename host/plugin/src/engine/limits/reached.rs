//! A limit that was reached, in words. Knows nothing of how it's found out.

use std::fmt;

use super::{KIB, MIB};

/// A limit that was reached, said in one way for all: what it is on, its value, and how it is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What it is on: `memory`.
    pub what: &'static str,
    /// Its value, with the unit.
    pub value: String,
    /// What raises it where it comes from, as a sentence.
    pub raises: String,
}

impl Reached {
    /// Of a limit that is what it is; `instead` is what can be done.
    pub(crate) fn fixed(what: &'static str, value: String, instead: String) -> Self {
        Self {
            what,
            value,
            raises: format!("nothing raises it; {instead}"),
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its limit on {}, {}: {}",
            self.what, self.value, self.raises
        )
    }
}

/// A number of bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        count if count >= MIB && count.is_multiple_of(MIB) => format!("{} MiB", count / MIB),
        count if count >= KIB && count.is_multiple_of(KIB) => format!("{} KiB", count / KIB),
        count => format!("{count} bytes"),
    }
}
