//! Owns the limits of the fakes, and the failures that a test asks for.

use crate::error::Error;

/// The limits of the fakes. The default is that of the host.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages to the log of a task. After one that is dropped, all are.
    pub log_messages: usize,
    /// Bytes of messages to the log of a task. Each message costs 16 more.
    pub log_bytes: usize,
    /// Messages and written artifacts of a task.
    pub status_messages: usize,
    /// Bytes of the messages and written artifacts of a task. Each of them costs 64 more.
    pub status_bytes: usize,
    /// Starts and ends of cases of a task.
    pub cases: usize,
    /// Bytes of the starts and ends of cases of a task. Each of them costs 64 more, and 24 for each
    /// name of its path.
    pub case_bytes: usize,
    /// Processes whose handles the plugin holds at once.
    pub handles: usize,
    /// Pollables that the plugin holds at once.
    pub pollables: usize,
    /// Downloads that the plugin holds at once.
    pub downloads: usize,
    /// Runnables that the plugin may add with pages.
    pub page_runnables: usize,
    /// Variations that the plugin may add with pages.
    pub page_variations: usize,
    /// Names in the cache.
    pub cache_names: usize,
    /// Bytes of one entry of the cache.
    pub cache_bytes: usize,
    /// Entries of a directory that can be listed.
    pub directory_entries: usize,
    /// Bytes of a report.
    pub report_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_messages: 20_000,
            log_bytes: 1 << 20,
            status_messages: 100_000,
            status_bytes: 16 << 20,
            cases: 1_000_000,
            case_bytes: 128 << 20,
            handles: 1_000,
            pollables: 1_024,
            downloads: 256,
            page_runnables: 1 << 22,
            page_variations: 1_000_000,
            cache_names: 1_024,
            cache_bytes: 1 << 20,
            directory_entries: 65_536,
            report_bytes: usize::try_from(4_u64 << 30).unwrap_or(usize::MAX),
        }
    }
}

/// A failure that a test asks for.
#[derive(Debug)]
pub(super) struct Fault {
    /// How many calls work before the others fail.
    pub(super) calls: u64,
    pub(super) error: Error,
}

/// The functions that can fail, by their names in the contract.
pub(super) const FUNCTIONS: &[&str] = &[
    "workspace.stat",
    "workspace.list-directory",
    "workspace.read",
    "process.run",
    "process.start",
    "process.child.read",
    "process.child.write",
    "process.child.close-stdin",
    "process.child.signal",
    "process.child.wait",
    "messages.progress",
    "messages.whiteboard",
    "artifacts.write",
    "artifacts.read",
    "artifacts.size",
    "artifact-list.list-artifacts",
    "cases.start",
    "cases.finish",
    "poll.watch",
    "poll.poll",
    "pages.add-runnables",
    "pages.add-variations",
    "batch.take-task",
    "batch.finish-task",
    "batch.fail-task",
    "fetch.fetch",
    "fetch.download.read",
    "cache.get",
    "cache.put",
    "report-output.open-report",
    "report-output.report.append",
    "report-output.report.overwrite",
];
