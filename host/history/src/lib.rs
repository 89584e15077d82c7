//! Owns what jobs have left: the index of their journals, the trend of a test, the comparison of
//! two jobs, the choice of old jobs, and archives of jobs. Does not know how a job runs, nor the
//! command line.
//!
//! A journal is the truth. The index is a cache that can be removed at any time.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod comparison;
mod export;
mod import;
mod index;
mod record;
mod retention;
mod scan;
mod trend;

pub use comparison::{Change, Compared, Comparison, Difference, SLOWER_BY, SLOWER_THAN};
pub use export::{ExportError, Exported, export};
pub use import::{ImportError, ImportLimits, Imported, import, is_imported, unpack};
pub use index::{Answered, Index, IndexError, JobEntry, JobFault, RunEntry, Update, query};
pub use record::{JobEnd, JobRecord, TestRun, Verdict};
pub use retention::{
    Kept, PruneError, Retention, Surplus, remove, remove_leftovers, size_of, surplus,
};
pub use scan::is_job_directory;
pub use trend::{Streak, Trend};

/// The format of archives of jobs: the first member of an archive has it.
const ARCHIVE_FORMAT: u32 = 1;

/// The name of the first member of an archive.
const MANIFEST: &str = "persea-export.json";

/// The file in a job's directory that says where an imported job comes from.
const IMPORTED: &str = "imported";
