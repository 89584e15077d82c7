//! The file systems of this machine, as a sandbox needs to know them. It must not know what is done with them.
//!
//! Source of the format: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
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

/// File systems that hold neither sockets nor pipes, or in which nobody can make one.
const ONLY_FILES: [&str; 12] = [
    "cramfs", "erofs", "exfat", "iso9660", "msdos", "ntfs", "ntfs3", "romfs", "squashfs", "udf",
    "umsdos", "vfat",
];

/// The most entries of a directory that a sandbox shows one by one.
const MOST_ENTRIES: usize = 500;

/// Where something is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) path: PathBuf,
    kind: String,
    /// The file system, and the directory of it that is mounted.
    device: Vec<u8>,
    root: PathBuf,
}

impl Mount {
    /// It holds files that were put there to stay.
    pub(super) fn has_files(&self) -> bool {
        self.kind != "tmpfs" && !self.is_of_the_system()
    }

    fn is_of_the_system(&self) -> bool {
        OF_THE_SYSTEM.contains(&&*self.kind)
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

/// The other paths at which a file is, because its file system, or a directory above, is mounted there too.
pub(super) fn aliases(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
    let Some(own) = of(path, mounts) else {
        return Vec::new();
    };
    let below = path.strip_prefix(&own.path).unwrap_or(Path::new(""));
    let inner = own.root.join(below);
    mounts
        .iter()
        .filter(|mount| mount.device == own.device && mount.path != own.path)
        .filter_map(|mount| Some(mount.path.join(inner.strip_prefix(&mount.root).ok()?)))
        .collect()
}

/// Whether something is mounted below a path, though not at it.
fn has_mounts(path: &Path, mounts: &[Mount]) -> bool {
    let mut below = mounts.iter().filter(|mount| mount.path != path);
    below.any(|mount| mount.path.starts_with(path))
}

fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let device = fields.nth(2)?.to_vec();
            let root = unescape(fields.next()?);
            let path = unescape(fields.next()?);
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            Some(Mount {
                path,
                kind: String::from_utf8_lossy(kind).into_owned(),
                device,
                root,
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

/// How a part of this machine's files comes into a sandbox. No socket and no pipe of the machine answers there: an overlay has its own
/// inodes for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Below a layer that takes what is written.
    Layered,
    /// The same over nothing: a directory of the machine that is not shown.
    Empty,
    /// Through an overlay that can only be read.
    Shown,
    /// As it is, read-only: it holds nothing that could answer.
    Bound,
}

impl Source {
    /// It has a layer.
    pub(super) fn is_written(self) -> bool {
        matches!(self, Source::Layered | Source::Empty)
    }
}

/// A part of this machine's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) source: Source,
}

/// What of this machine's files is seen in a sandbox, and how.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Those above before those below.
    pub(super) parts: Vec<Part>,
    /// Symbolic links in directories that are made anew, with where they lead.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// With `directory` among what can be written to.
    pub(super) fn of_machine(
        directory: &Path,
        mounts: &[Mount],
        is_root: bool,
    ) -> io::Result<Layout> {
        let mut layout = Layout::default();
        let own = of(directory, mounts).map(|mount| mount.path.clone());
        if is_root {
            layout.add(PathBuf::from("/"), Source::Layered);
            for mount in mounts.iter().filter(|mount| mount.path != Path::new("/")) {
                match own.as_ref() == Some(&mount.path) {
                    true => layout.add(mount.path.clone(), Source::Layered),
                    false if mount.has_files() => layout.add_shown(&mount.path, mounts, false),
                    false => {}
                }
            }
        } else {
            // The kernel lets nobody else look below what is mounted, so nothing that has mounts in it can be a layer.
            layout.take_apart(Path::new("/"), mounts)?;
            let is_layered =
                |part: &Part| part.source == Source::Layered && directory.starts_with(&part.path);
            if !layout.parts.iter().any(is_layered) {
                let whole = own.filter(|own| own != Path::new("/") && !has_mounts(own, mounts));
                let path = whole.unwrap_or_else(|| directory.to_path_buf());
                // Otherwise it is shown by its entries.
                if !has_mounts(&path, mounts) {
                    layout.parts.retain(|part| part.path != path);
                    layout.add(path, Source::Layered);
                }
            }
        }
        layout
            .parts
            .sort_by_key(|part| part.path.components().count());
        layout.parts.dedup();
        Ok(layout)
    }

    fn add(&mut self, path: PathBuf, source: Source) {
        self.parts.push(Part { path, source });
    }

    /// Parts that have a layer, with the layer's number.
    pub(super) fn layered(&self) -> impl Iterator<Item = (usize, &Part)> {
        let parts = self.parts.iter().filter(|part| part.source.is_written());
        parts.enumerate()
    }

    /// Adds a directory or file that can only be read. Where the kernel makes no overlay of it (`apart`: what is mounted below it keeps it
    /// from that), its entries are added instead.
    fn add_shown(&mut self, path: &Path, mounts: &[Mount], apart: bool) {
        let Ok(found) = std::fs::symlink_metadata(path) else {
            return;
        };
        let kind = of(path, mounts).map_or("", |mount| &mount.kind);
        let below = has_mounts(path, mounts);
        if found.is_file() {
            self.add(path.to_path_buf(), Source::Bound);
        } else if !found.is_dir() {
            // A socket, a pipe, a device: none of those.
        } else if below && apart {
            // What can't be read is not shown.
            let _ = self.take_apart(path, mounts);
        } else if ONLY_FILES.contains(&kind) && !below {
            self.add(path.to_path_buf(), Source::Bound);
        } else if is_plain(path) {
            self.add(path.to_path_buf(), Source::Shown);
        }
    }

    /// The entries of a directory instead of the whole.
    fn take_apart(&mut self, root: &Path, mounts: &[Mount]) -> io::Result<()> {
        let is_root = root == Path::new("/");
        // As /tmp: its entries come and go, and are whoever's.
        let is_everybodys = std::fs::metadata(root)?.mode() & 0o1002 == 0o1002;
        let mut names: Vec<PathBuf> = std::fs::read_dir(root)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        names.sort();
        if is_everybodys || names.len() > MOST_ENTRIES {
            self.add(root.to_path_buf(), Source::Empty);
            names.retain(|path| mounts.iter().any(|mount| mount.path.starts_with(path)));
        }
        for path in names {
            let Ok(found) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            let mounted = mounts.iter().rev().find(|mount| mount.path == path);
            let is_of_the_system = is_root
                && ["/dev", "/proc", "/run", "/sys"]
                    .map(Path::new)
                    .contains(&&*path);
            if is_of_the_system || mounted.is_some_and(|it| !is_root && !it.has_files()) {
                // Its own, or none.
            } else if found.is_symlink() {
                self.links.push((path.clone(), std::fs::read_link(&path)?));
            } else if is_root && found.is_dir() && !has_mounts(&path, mounts) {
                self.add(path, Source::Layered);
            } else if found.is_dir() || !is_root {
                self.add_shown(&path, mounts, true);
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
        31 27 254:1 /user /srv/same rw - xfs /dev/vdb rw\n\
        30 27 0:30 / /tmp rw - tmpfs tmpfs rw\nrubbish\n";

    #[test]
    fn the_table_of_mounts() {
        let mounts = parse(TABLE);
        let files: Vec<_> = mounts.iter().filter(|mount| mount.has_files()).collect();
        let paths: Vec<_> = files
            .iter()
            .map(|mount| mount.path.to_str().unwrap())
            .collect();
        assert_eq!(paths, ["/", "/home", "/home/a b", "/srv/same"]);
        let in_home = of(Path::new("/home/a b/c"), &mounts).unwrap();
        assert_eq!(in_home.path, Path::new("/home/a b"));
        assert_eq!(
            of(Path::new("/homes"), &mounts).unwrap().path,
            Path::new("/")
        );
    }

    #[test]
    fn file_is_found_at_every_path_of_its_file_system() {
        let mounts = parse(TABLE);
        let of = |path: &str| aliases(Path::new(path), &mounts);
        assert_eq!(of("/home/user/x"), [Path::new("/srv/same/x")]);
        assert_eq!(of("/srv/same/x"), [Path::new("/home/user/x")]);
        assert!(of("/home/other").is_empty() && of("/etc").is_empty());
    }

    #[test]
    fn directory_with_mounts_is_shown_by_its_entries() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["plain", "parent/mounted", "parent/beside"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("parent/file"), "").unwrap();
        std::os::unix::fs::symlink("file", root.join("parent/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("parent/socket")).unwrap();
        let table = format!(
            "1 1 1:1 / / rw - ext4 a rw\n2 1 1:2 / {0}/parent/mounted rw - ext4 b rw\n\
             3 1 1:3 / {0}/fat rw - vfat c rw\n",
            root.display()
        );
        let mounts = parse(table.as_bytes());
        let mut layout = Layout::default();
        layout.add_shown(&root, &mounts, true);
        layout.parts.sort_by(|a, b| a.path.cmp(&b.path));
        let parts: Vec<_> = layout
            .parts
            .iter()
            .map(|part| (part.path.strip_prefix(&root).unwrap(), part.source))
            .collect();
        let wanted = [
            ("parent/beside", Source::Shown),
            ("parent/file", Source::Bound),
            ("parent/mounted", Source::Shown),
            ("plain", Source::Shown),
        ];
        assert_eq!(parts, wanted.map(|(path, how)| (Path::new(path), how)));
        assert_eq!(layout.links, [(root.join("parent/link"), "file".into())]);
    }

    #[test]
    fn everybodys_directory_with_mounts_begins_empty() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("mounted")).unwrap();
        std::fs::write(root.join("agent"), "").unwrap();
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o1777))
            .unwrap();
        let table = format!(
            "1 1 1:1 / / rw - ext4 a rw\n2 1 1:2 / {}/mounted rw - ext4 b rw\n",
            root.display()
        );
        let mut layout = Layout::default();
        layout.take_apart(&root, &parse(table.as_bytes())).unwrap();
        let parts: Vec<_> = layout.parts.iter().map(|part| part.source).collect();
        assert_eq!(parts, [Source::Empty, Source::Shown]);
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
