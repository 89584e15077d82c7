//! Owns the watch of what a test writes: the size of its own directories. Does not limit the size
//! of one file, which the kernel does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::AbortHandle;

/// How often a watch measures: every 100 ms.
const INTERVAL: Duration = Duration::from_millis(100);

/// The size of a block, in which the kernel tells how much room a file takes.
const BLOCK: u64 = 512;

/// By how much a file may exceed the limit: a page. So a file that reaches the kernel's limit is
/// larger than the configured one, and a file of exactly the configured size is not cut.
const SLACK: u64 = 4096;

/// The most files and directories that are measured at a time. What is beyond does not count.
const MAX_ENTRIES: usize = 200_000;

/// The limit of the kernel for each file of a test with this limit.
pub(super) const fn largest_file(limit: u64) -> u64 {
    limit.saturating_add(SLACK)
}

/// Measures directories while a test runs, and kills its processes if they are too large. The watch
/// ends with its last clone.
#[derive(Debug, Clone)]
pub(super) struct DiskWatch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    directories: Vec<PathBuf>,
    limit: u64,
    is_reached: AtomicBool,
    watching: OnceLock<AbortHandle>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.get() {
            watching.abort();
        }
    }
}

impl DiskWatch {
    /// Starts to watch. `kill` is called when the limit is exceeded, each time that it is found.
    pub(super) fn start(
        directories: Vec<PathBuf>,
        limit: u64,
        kill: impl Fn() + Send + 'static,
    ) -> DiskWatch {
        let watched = Arc::new(Watched {
            directories,
            limit,
            is_reached: AtomicBool::new(false),
            watching: OnceLock::new(),
        });
        let weak = Arc::downgrade(&watched);
        let watching = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(watched) = weak.upgrade() else {
                    return;
                };
                if DiskWatch(watched).measure().await {
                    kill();
                }
            }
        });
        let _ = watched.watching.set(watching.abort_handle());
        DiskWatch(watched)
    }

    /// Measures now. Returns whether the limit is exceeded.
    pub(super) async fn measure(&self) -> bool {
        let watched = Arc::clone(&self.0);
        let measured = tokio::task::spawn_blocking(move || {
            let mut left = MAX_ENTRIES;
            let sizes = watched.directories.iter();
            sizes.map(|it| size(it, &mut left)).sum::<u64>() > watched.limit
        });
        let is_exceeded = measured.await.unwrap_or(false);
        self.0.is_reached.fetch_or(is_exceeded, Ordering::AcqRel);
        is_exceeded
    }

    pub(super) fn is_reached(&self) -> bool {
        self.0.is_reached.load(Ordering::Acquire)
    }
}

/// The room that a directory takes with all that is in it, in bytes. Follows no link, and skips
/// what cannot be read or is being removed.
fn size(root: &Path, left: &mut usize) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut all = vec![root.to_path_buf()];
    let mut sum = 0_u64;
    while let Some(path) = all.pop() {
        let Ok(found) = path.symlink_metadata() else {
            continue;
        };
        if found.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            all.extend(entries.take(*left).map(|entry| entry.path()));
        } else {
            sum = sum.saturating_add(found.blocks().saturating_mul(BLOCK).max(found.size()));
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn size_is_that_of_all_files_below_and_of_no_linked_ones() {
        let root = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/b/file"), vec![1; 10_000]).unwrap();
        std::fs::write(root.path().join("file"), vec![1; 5000]).unwrap();
        std::fs::write(other.path().join("large"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink(other.path(), root.path().join("link")).unwrap();
        let found = size(root.path(), &mut 1000);
        assert!((15_000..50_000).contains(&found), "{found}");
        assert_eq!(size(&root.path().join("missing"), &mut 1000), 0);
        assert!(size(root.path(), &mut 1) < 5000);
    }
}
