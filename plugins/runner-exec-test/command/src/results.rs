//! Owns the results of the tests of a framework that runs many in one process: one test, the counts
//! of all, and their report as cases. Does not know what a framework writes.

mod reporter;
mod result;
mod tally;

pub use reporter::CaseReporter;
pub use result::{TestResult, Verdict, bounded, one_line, seconds, shown};
pub use tally::Tally;
