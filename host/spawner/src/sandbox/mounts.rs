//! Owns the table of this machine's mounts, and from it the layout of a sandbox's files. Does not
//! mount anything.
//!
//! Source of the table's format: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Kinds of file systems that belong to the running system. A sandbox has its own, or none.
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

/// Kinds of file systems that cannot contain sockets or pipes, or are read-only.
const ONLY_FILES: [&str; 12] = [
    "cramfs", "erofs", "exfat", "iso9660", "msdos", "ntfs", "ntfs3", "romfs", "squashfs", "udf",
    "umsdos", "vfat",
];

/// The largest directory whose entries a sandbox shows one by one, each by a mount of its own.
const MAX_ENTRIES: usize = 500;

/// An entry of the table of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) path: PathBuf,
    kind: String,
    /// The device number of the file system, and the directory of it that is mounted.
    device: Vec<u8>,
    root: PathBuf,
}

impl Mount {
    /// Whether the file system stores files of this machine permanently.
    pub(crate) fn has_files(&self) -> bool {
        self.kind != "tmpfs" && !self.is_of_the_system() && !self.is_root_of_container()
    }

    /// Whether this is the root directory of somebody's container, as Podman, Docker and containerd
    /// name it. It may be gone before the sandbox has been made, and is none of this machine's
    /// files.
    fn is_root_of_container(&self) -> bool {
        let mut names = ["merged", "rootfs"].iter();
        self.kind == "overlay" && names.any(|name| self.path.ends_with(name))
    }

    fn is_of_the_system(&self) -> bool {
        OF_THE_SYSTEM.contains(&&*self.kind)
    }
}

/// Returns all mounts that this process sees, parents before children.
pub(crate) fn all() -> io::Result<Vec<Mount>> {
    let mut mounts = parse(&std::fs::read("/proc/self/mountinfo")?);
    mounts.sort_by_key(|mount| mount.path.components().count());
    mounts.dedup();
    Ok(mounts)
}

/// Returns the mount that contains a path.
pub(crate) fn of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    mounts
        .iter()
        .rev()
        .find(|mount| path.starts_with(&mount.path))
}

/// Returns the other paths of a file, for each further mount of its file system that contains it.
pub(crate) fn aliases(path: &Path, mounts: &[Mount]) -> Vec<PathBuf> {
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

/// Whether something is mounted below a path; a mount at the path itself does not count.
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

/// Replaces escape sequences: a backslash and three octal digits, for blanks and line ends.
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

/// How a sandbox gets a part of this machine's files. Sockets and pipes of the machine cannot be
/// reached there, because an overlay has its own inodes for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A writable overlay over the machine's files.
    Layered,
    /// A writable overlay over an empty directory: the machine's files are not shown.
    Empty,
    /// A read-only overlay over the machine's files.
    Shown,
    /// A read-only bind mount: a file, or a file system without sockets and pipes.
    Bound,
}

impl Source {
    /// Whether the part is writable, and so has directories in each layer.
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Source::Layered | Source::Empty)
    }
}

/// A part of this machine's files: a file, or a directory tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
}

/// What a sandbox sees of this machine's files.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The parts, parents before children.
    pub(crate) parts: Vec<Part>,
    /// Symbolic links, with their targets, in directories that are shown by their entries.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// Determines the layout from the table of mounts. `directory` is writable in it.
    pub(crate) fn of_machine(
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
            // In a user namespace, the kernel refuses to uncover what lies below a mount. So a
            // directory that contains mounts cannot be the lower part of an overlay.
            layout.add_entries(Path::new("/"), mounts)?;
            let is_layered =
                |part: &Part| part.source == Source::Layered && directory.starts_with(&part.path);
            if !layout.parts.iter().any(is_layered) {
                let whole = own.filter(|own| own != Path::new("/") && !has_mounts(own, mounts));
                let path = whole.unwrap_or_else(|| directory.to_path_buf());
                // A directory that contains mounts stays read-only, shown by its entries.
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

    /// Returns the writable parts, each with the number of its overlay.
    pub(crate) fn layered(&self) -> impl Iterator<Item = (usize, &Part)> {
        let parts = self.parts.iter().filter(|part| part.source.is_written());
        parts.enumerate()
    }

    /// Adds a directory or file as read-only. With `by_entries`, adds the entries of a directory
    /// that contains mounts instead of the directory, of which a user namespace cannot make an
    /// overlay.
    fn add_shown(&mut self, path: &Path, mounts: &[Mount], by_entries: bool) {
        let Ok(found) = std::fs::symlink_metadata(path) else {
            return;
        };
        let kind = of(path, mounts).map_or("", |mount| &mount.kind);
        let below = has_mounts(path, mounts);
        if found.is_file() {
            self.add(path.to_path_buf(), Source::Bound);
        } else if !found.is_dir() {
            // Sockets, pipes and devices are not shown.
        } else if below && by_entries {
            // Fails for a directory that cannot be read, which is then not shown.
            let _ = self.add_entries(path, mounts);
        } else if ONLY_FILES.contains(&kind) && !below {
            self.add(path.to_path_buf(), Source::Bound);
        } else if is_plain(path) {
            self.add(path.to_path_buf(), Source::Shown);
        }
    }

    /// Adds the entries of a directory instead of the directory as a whole.
    fn add_entries(&mut self, root: &Path, mounts: &[Mount]) -> io::Result<()> {
        let is_root = root == Path::new("/");
        // Sticky and writable for all, like /tmp: the entries change, and belong to anybody.
        let is_everybodys = std::fs::metadata(root)?.mode() & 0o1002 == 0o1002;
        let mut names: Vec<PathBuf> = std::fs::read_dir(root)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        names.sort();
        if is_everybodys || names.len() > MAX_ENTRIES {
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
                // The sandbox has its own, or none.
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

/// Whether a path can be part of the options of an overlay mount: commas, colons, backslashes and
/// quotation marks have a meaning there.
pub(crate) fn is_plain(path: &Path) -> bool {
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
    fn mount_of_a_path_is_found_in_the_table() {
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
    fn aliases_are_the_paths_in_other_mounts_of_the_file_system() {
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
    fn root_of_a_container_is_no_part_of_a_sandbox() {
        let table = b"1 1 1:1 / / rw - ext4 a rw\n\
                      2 1 1:2 / /var/lib/docker/overlay2/0f/merged rw - overlay b rw\n\
                      3 1 1:3 / /run/containerd/task/1/rootfs rw - overlay c rw\n\
                      4 1 1:4 / /usr rw - overlay d rw\n";
        let layout = Layout::of_machine(Path::new("/"), &parse(table), true).unwrap();
        let paths: Vec<&Path> = layout.parts.iter().map(|part| &*part.path).collect();
        assert_eq!(paths, [Path::new("/"), Path::new("/usr")]);
    }

    #[test]
    fn sticky_directory_with_mounts_begins_empty() {
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
        layout.add_entries(&root, &parse(table.as_bytes())).unwrap();
        let parts: Vec<_> = layout.parts.iter().map(|part| part.source).collect();
        assert_eq!(parts, [Source::Empty, Source::Shown]);
    }

    #[test]
    fn table_of_this_machine_has_a_root() {
        let mounts = all().unwrap();
        assert!(mounts.iter().any(|mount| mount.path == Path::new("/")));
    }

    #[test]
    fn path_with_a_special_character_is_not_plain() {
        assert!(is_plain(Path::new("/tmp/a b")));
        assert!(!is_plain(Path::new("/tmp/a:b")));
        assert!(!is_plain(Path::new("/tmp/a,b")));
    }
}
