//! Owns how a reached limit is reported. Does not know about what measures it.

use std::fmt;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A limit that a plugin has reached, reported in one form for every limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedLimit {
    /// What is limited: `memory`.
    pub subject: &'static str,
    /// Value of the limit, with its unit.
    pub value: String,
    /// How to raise the limit at the place that sets it, as a sentence.
    pub remedy: String,
}

impl ReachedLimit {
    /// A limit that no setting raises; `instead` says what the user can do.
    pub(crate) fn fixed(subject: &'static str, value: String, instead: String) -> Self {
        Self {
            subject,
            value,
            remedy: format!("nothing raises it; {instead}"),
        }
    }
}

impl fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its limit on {}, {}: {}",
            self.subject, self.value, self.remedy
        )
    }
}

/// Formats a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        count if count >= MIB && count.is_multiple_of(MIB) => format!("{} MiB", count / MIB),
        count if count >= KIB && count.is_multiple_of(KIB) => format!("{} KiB", count / KIB),
        count => format!("{count} bytes"),
    }
}
