//! Owns what kind of file system a path is on. Does not know what the files are for.

use std::path::Path;

/// The kinds of file systems that only one running kernel can write to, by their magic numbers,
/// see statfs(2): ext, xfs, btrfs, f2fs, zfs, bcachefs, tmpfs, ramfs and overlays.
const LOCAL: [i64; 9] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0xF2F5_2010,
    0x2FC1_2FC1,
    0xCA45_1A4E,
    0x0102_1994,
    0x8584_58F6,
    0x794C_7630,
];

/// Whether a path is on a file system of this machine, so that whoever holds a lock on a file runs
/// here. False if unknown, as for network file systems.
pub fn is_of_this_machine(path: &Path) -> bool {
    let found = rustix::fs::statfs(path);
    found.is_ok_and(|found| {
        LOCAL
            .iter()
            .any(|magic| i128::from(*magic) == i128::from(found.f_type))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_not_on_a_disk_of_this_machine() {
        assert!(!is_of_this_machine(Path::new("/proc")));
        assert!(!is_of_this_machine(Path::new("/no/such")));
        assert!(is_of_this_machine(&std::env::temp_dir()));
    }
}
