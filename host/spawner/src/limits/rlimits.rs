//! Owns the limits of the kernel for single processes and users (setrlimit(2)), which take the
//! place of a cgroup. Does not set them: the helper does, in each process.

use rustix::process::{geteuid, getuid};

/// Whether the kernel lets this user have any number of processes.
pub(super) fn is_exempt() -> bool {
    geteuid().is_root()
}

/// Returns the limit for all processes of this user that lets a test have `limit` more than there
/// are.
pub(super) fn processes_of_user(limit: u64) -> u64 {
    let own = getuid().as_raw().to_string();
    let Ok(all) = std::fs::read_dir("/proc") else {
        return limit;
    };
    let number = |entry: std::fs::DirEntry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()
        };
        (field("Uid:")? == own).then(|| field("Threads:")?.parse::<u64>().ok())?
    };
    let present: u64 = all.flatten().filter_map(number).sum();
    present.saturating_add(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_the_user_are_counted_with_their_threads() {
        let before = processes_of_user(5);
        // At least this process, with the thread of this test.
        assert!(before > 5 + 1, "{before}");
    }
}
