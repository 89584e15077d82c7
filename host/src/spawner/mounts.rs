//! The file systems of this machine, as a sandbox needs to know them. It must not know what is done with them.
//!
//! Source of the format: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Kinds that hold no files of anybody, or only such as belong to the running system. A sandbox has its own, or none.
const OF_THE_SYSTEM: [&str; 23] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "fuse.portal",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Where something is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) path: PathBuf,
    kind: String,
}

impl Mount {
    /// It holds files that were put there to stay.
    pub(super) fn has_files(&self) -> bool {
        self.kind != "tmpfs" && !OF_THE_SYSTEM.contains(&&*self.kind)
    }
}

/// All mounts that this process sees, those above before those below.
pub(super) fn all() -> io::Result<Vec<Mount>> {
    let mut mounts = parse(&std::fs::read("/proc/self/mountinfo")?);
    mounts.sort_by_key(|mount| mount.path.components().count());
    mounts.dedup();
    Ok(mounts)
}

/// The mount that a path is in.
pub(super) fn of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    mounts
        .iter()
        .rev()
        .find(|mount| path.starts_with(&mount.path))
}

fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let path = unescape(fields.nth(4)?);
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            Some(Mount {
                path,
                kind: String::from_utf8_lossy(kind).into_owned(),
            })
        })
        .collect()
}

/// Blanks and the like stand as three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match octal {
            Some(byte) if *first == b'\\' => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                path.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

/// What of this machine's files is seen in a sandbox, and how.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What gets layers, and so can be written to; those above before those below.
    pub(super) layered: Vec<PathBuf>,
    /// What can only be read.
    pub(super) shown: Vec<PathBuf>,
    /// Links in the root directory, with where they lead.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// With the file system of `directory` among those that can be written to.
    pub(super) fn of_machine(directory: &Path, is_root: bool) -> io::Result<Layout> {
        let mounts = all()?;
        let mut layout = Layout::default();
        match is_root {
            true => layout.layered.push(PathBuf::from("/")),
            // The kernel lets nobody else look below what is mounted, so nothing that has mounts in it can be a layer.
            false => layout.take_apart(Path::new("/"), &mounts)?,
        }
        let own = of(directory, &mounts).map(|mount| mount.path.clone());
        if let Some(own) = own.filter(|own| !layout.layered.iter().any(|path| own == path))
            && (is_root || own != Path::new("/"))
        {
            layout.layered.push(own);
        }
        let files = mounts.into_iter().filter(Mount::has_files);
        let files = files.map(|mount| mount.path);
        let layered = &layout.layered;
        let is_shown = |path: &PathBuf| path != Path::new("/") && !layered.contains(path);
        layout.shown.extend(files.filter(is_shown));
        Ok(layout)
    }

    /// The directories in the root directory instead of the whole.
    fn take_apart(&mut self, root: &Path, mounts: &[Mount]) -> io::Result<()> {
        let mut names: Vec<PathBuf> = std::fs::read_dir(root)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        names.sort();
        for path in names {
            let kind = std::fs::symlink_metadata(&path)?.file_type();
            let is_of_the_system = ["/dev", "/proc", "/run", "/sys"]
                .map(Path::new)
                .contains(&&*path);
            let has_mounts = || {
                let mut below = mounts.iter().filter(|mount| mount.path != path);
                below.any(|mount| mount.path.starts_with(&path))
            };
            if kind.is_symlink() {
                self.links.push((path.clone(), std::fs::read_link(&path)?));
            } else if !kind.is_dir() || is_of_the_system {
                // Its own, or none.
            } else if has_mounts() {
                self.shown.push(path);
            } else {
                self.layered.push(path);
            }
        }
        Ok(())
    }
}

/// Whether a path can stand in the options of an overlay mount, where commas, colons and backslashes mean something.
pub(super) fn is_plain(path: &Path) -> bool {
    let special = |byte: &u8| matches!(byte, b',' | b':' | b'\\' | b'"');
    !path.as_os_str().as_bytes().iter().any(special)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TABLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        28 27 254:1 / /home rw,relatime shared:1 master:2 - xfs /dev/vdb rw\n\
        29 28 254:2 / /home/a\\040b rw - btrfs /dev/vdc rw\n\
        30 27 0:30 / /tmp rw - tmpfs tmpfs rw\nrubbish\n";

    #[test]
    fn the_table_of_mounts() {
        let mounts = parse(TABLE);
        let files: Vec<_> = mounts.iter().filter(|mount| mount.has_files()).collect();
        let paths: Vec<_> = files
            .iter()
            .map(|mount| mount.path.to_str().unwrap())
            .collect();
        assert_eq!(paths, ["/", "/home", "/home/a b"]);
        let in_home = of(Path::new("/home/a b/c"), &mounts).unwrap();
        assert_eq!(in_home.path, Path::new("/home/a b"));
        assert_eq!(
            of(Path::new("/homes"), &mounts).unwrap().path,
            Path::new("/")
        );
    }

    #[test]
    fn this_machine_has_a_root() {
        let mounts = all().unwrap();
        assert!(mounts.iter().any(|mount| mount.path == Path::new("/")));
    }

    #[test]
    fn what_cannot_stand_in_an_option() {
        assert!(is_plain(Path::new("/tmp/a b")));
        assert!(!is_plain(Path::new("/tmp/a:b")));
        assert!(!is_plain(Path::new("/tmp/a,b")));
    }
}
