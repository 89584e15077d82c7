//! Owns the messages between the host and the program that receives a project on another host.
//!
//! The host begins. If the other host does not share the files, the host sends the entries of the
//! project, and receives which contents are missing there. It sends these contents, one behind the
//! other in the order of the reply and without any frame: both sides know their sizes. It then
//! receives what is missing still, until that is nothing, and the end.

use serde::{Deserialize, Serialize};

use super::archive::Digest;
use super::{Bytes, Message, SharedFiles};

/// The most entries of one message.
pub const MAX_ENTRIES: usize = 1000;

/// The most entries of a project: a million.
pub const MAX_PROJECT_ENTRIES: usize = 1_000_000;

/// The longest message of the receiver, in bytes: the positions of all entries, and 1 MiB.
pub const MAX_PROJECT_REPLY: usize = 5 * MAX_PROJECT_ENTRIES + (1 << 20);

/// A message from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectRequest {
    /// Begins, or asks again whether the files are shared. The reply is `Shared` or `NotShared`.
    Begin(ProjectBegin),
    /// Entries of the project, at most [`MAX_ENTRIES`]. A directory comes before what is in it.
    Entries(Vec<ProjectEntry>),
    /// There are no more entries. The reply is `Missing` or `Done`.
    EntriesEnd,
}

/// What the receiver of a project has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectBegin {
    /// What both hosts must see if they share the files; none if the host does not ask.
    pub shared: Option<SharedFiles>,
    /// The absolute path of the project on the host. Links to what is in it are made to lead into
    /// the new directory.
    pub origin: Bytes,
    /// The absolute path of the directory to make for the project.
    pub directory: Bytes,
    /// Further directories to make.
    pub others: Vec<Bytes>,
    /// The directory in which contents are kept from one job to the next; none for
    /// `$XDG_CACHE_HOME/persea`.
    pub cache: Option<Bytes>,
    /// The most that the kept contents may take, in bytes.
    pub cache_limit: u64,
}

/// Something in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectEntry {
    /// The path in the project, as [`check_path`](super::archive::check_path) accepts it.
    pub path: Bytes,
    /// What it is.
    pub kind: ProjectEntryKind,
}

/// The kind of an entry of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectEntryKind {
    /// A directory.
    Directory {
        /// The permissions.
        mode: u32,
    },
    /// An ordinary file.
    File {
        /// The permissions.
        mode: u32,
        /// The size, in bytes.
        size: u64,
        /// When the content was changed last: seconds and nanoseconds of Unix time.
        modified: (i64, u32),
        /// The digest of the content.
        digest: Digest,
    },
    /// A symbolic link with this target.
    Link(Bytes),
}

/// A message from the receiver of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProjectReply {
    /// Both hosts see the same files, so nothing is to be sent.
    Shared,
    /// The other host sees other files.
    NotShared {
        /// The reason, for people.
        why: String,
        /// Whether that may be because the project's directory has changed meanwhile.
        may_have_changed: bool,
    },
    /// The contents of the files with these positions among all entries are missing.
    Missing(Vec<u32>),
    /// The project is there.
    Done {
        /// Why contents could not be kept for the next job, if so.
        not_kept: Option<String>,
    },
    /// The receiver gives up, for this reason.
    Failed(String),
}

impl Message for ProjectRequest {}
impl Message for ProjectReply {}
