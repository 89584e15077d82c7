//! Owns which of the machine's files a sandbox does not see: keys and tokens of the user, and the
//! paths of the settings `spawner.sandbox.hide` and `.show`. Does not mount anything.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat,
    getxattr, makedev, mknodat, setxattr, utimensat,
};
use rustix::io::Errno;

use super::mounts::{Layout, Mount, Source, aliases};

/// Paths with keys, tokens and histories, relative to the home directory.
const OF_HOME: [&str; 50] = [
    ".ssh",
    ".gnupg",
    ".password-store",
    ".minisign",
    ".netrc",
    ".authinfo",
    ".authinfo.gpg",
    ".git-credentials",
    ".config/git/credentials",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".aws",
    ".azure",
    ".oci",
    ".boto",
    ".s3cfg",
    ".config/gcloud",
    ".config/doctl",
    ".config/hcloud",
    ".config/rclone",
    ".config/openstack",
    ".terraform.d/credentials.tfrc.json",
    ".vault-token",
    ".kube",
    ".docker",
    ".config/containers/auth.json",
    ".config/persea",
    ".config/sops",
    ".config/age",
    ".config/op",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".m2/settings.xml",
    ".m2/settings-security.xml",
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    ".local/share/keyrings",
    ".mozilla",
    ".thunderbird",
    ".config/chromium",
    ".config/google-chrome",
    ".bash_history",
    ".zsh_history",
    ".python_history",
];

/// Paths with keys of the machine, which root's sandbox could read.
const OF_MACHINE: [&str; 9] = [
    "/etc/krb5.keytab",
    "/etc/letsencrypt",
    "/etc/NetworkManager/system-connections",
    "/etc/ssh/ssh_host_dsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssl/private",
    "/etc/wireguard",
];

/// The paths that a sandbox hides and shows, as configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visibility {
    /// The home directories whose keys and tokens are hidden.
    pub homes: Vec<PathBuf>,
    /// Further paths that are hidden where they exist.
    pub private: Vec<PathBuf>,
    /// Paths that are hidden whether they exist or not.
    pub hide: Vec<PathBuf>,
    /// Paths that are always shown, with everything below them. Sockets there can be used.
    pub show: Vec<PathBuf>,
}

/// How a path is hidden.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// A whiteout in the overlay of this number: the overlay shows the path as removed. The path is
    /// relative to the overlay's root.
    Whiteout(usize, PathBuf),
    /// An empty directory is mounted over the path.
    EmptyDirectory(PathBuf),
    /// `/dev/null` is mounted over the path, without permission to open it.
    NullDevice(PathBuf),
}

/// The hidden paths of a sandbox, and the shown ones below them.
#[derive(Debug, Default)]
pub(crate) struct HiddenPaths {
    paths: Vec<PathBuf>,
    /// The shown paths that no overlay provides: they are mounted read-only from the machine.
    pub(crate) shown: Vec<PathBuf>,
    show: Vec<PathBuf>,
    mounts: Vec<Mount>,
}

impl HiddenPaths {
    /// Determines the hidden paths of a sandbox whose processes start in `directory`.
    pub(crate) fn new(
        visibility: &Visibility,
        directory: &Path,
        layout: &Layout,
        mounts: Vec<Mount>,
    ) -> HiddenPaths {
        let mut hidden = HiddenPaths {
            show: visibility.show.iter().map(|path| settled(path)).collect(),
            mounts,
            ..HiddenPaths::default()
        };
        let of_homes = visibility
            .homes
            .iter()
            .flat_map(|home| OF_HOME.map(|name| home.join(name)));
        let usual = of_homes
            .chain(OF_MACHINE.map(PathBuf::from))
            .chain(visibility.private.iter().cloned());
        for path in usual {
            if path.symlink_metadata().is_ok() && !directory.starts_with(settled(&path)) {
                hidden.hide(&path);
            }
        }
        for path in &visibility.hide {
            hidden.hide(path);
        }
        hidden.shown = hidden
            .show
            .iter()
            .filter(|path| hidden.has(path) || !is_in_overlay(path, layout))
            .cloned()
            .collect();
        hidden
    }

    /// Hides another path, at all paths where its file system is mounted. Hides a link and its
    /// target.
    pub(crate) fn hide(&mut self, path: &Path) {
        let own = settled(path);
        let target = own.canonicalize().ok();
        for path in [Some(own), target].into_iter().flatten() {
            for alias in aliases(&path, &self.mounts) {
                self.add(alias);
            }
            self.add(path);
        }
    }

    fn add(&mut self, path: PathBuf) {
        let is_shown = self.show.iter().any(|shown| path.starts_with(shown));
        if is_shown || self.has(&path) {
            return;
        }
        self.paths.retain(|other| !other.starts_with(&path));
        self.paths.push(path);
    }

    /// Whether a path is hidden: it is in the list, or below an entry of the list.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.paths.iter().any(|hidden| path.starts_with(hidden))
    }

    /// Returns the masks of the hidden paths, in a sandbox that mounts something at each of
    /// `targets`.
    pub(crate) fn masks(&self, layout: &Layout, targets: &[&Path]) -> Vec<Mask> {
        let mask = |path: &PathBuf| mask(path, layout, targets);
        self.paths.iter().filter_map(mask).collect()
    }
}

fn mask(path: &Path, layout: &Layout, targets: &[&Path]) -> Option<Mask> {
    let mut parts = layout.parts.iter().rev();
    let part = parts.find(|part| path.starts_with(&part.path))?;
    let below = path.strip_prefix(&part.path).ok()?;
    let is_empty = below.as_os_str().is_empty();
    let mut others = layout.parts.iter().map(|part| &*part.path);
    // A path below which something is mounted must exist, so it cannot be a whiteout.
    let is_needed = is_empty
        || targets.iter().any(|target| target.starts_with(path))
        || others.any(|other| other.starts_with(path));
    if part.source == Source::Layered && !is_needed {
        let mut layered = layout.layered();
        let (number, _) = layered.find(|(_, it)| it.path == part.path)?;
        return Some(Mask::Whiteout(number, below.to_path_buf()));
    }
    let found = path.symlink_metadata().ok()?;
    match found.is_dir() {
        true => Some(Mask::EmptyDirectory(path.to_path_buf())),
        // The target of the link is hidden itself.
        false if found.is_symlink() => None,
        false => Some(Mask::NullDevice(path.to_path_buf())),
    }
}

/// Whether an overlay provides a path. It cannot provide a socket or pipe: those have an inode of
/// their own in an overlay, and nobody listens there.
fn is_in_overlay(path: &Path, layout: &Layout) -> bool {
    let mut parts = layout.parts.iter().rev();
    let part = parts.find(|part| path.starts_with(&part.path));
    let answers = path.metadata().is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_socket() || kind.is_fifo()
    });
    part.is_some_and(|part| part.source != Source::Empty) && !answers
}

/// Resolves links and `..` in the existing part of a path, except in its last component.
fn settled(path: &Path) -> PathBuf {
    let path = &*std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut rest = Vec::new();
    let mut above = path;
    while let (Some(parent), Some(name)) = (above.parent(), above.file_name()) {
        rest.push(name);
        above = parent;
        if let Ok(real) = above.canonicalize() {
            let mut settled = real;
            settled.extend(rest.iter().rev());
            return settled;
        }
    }
    path.to_path_buf()
}

/// Hides a path from an overlay by a whiteout in its upper directory. `path` is relative to the
/// overlay's root.
pub(crate) fn white_out(upper: &Path, lower: &Path, path: &Path) -> io::Result<()> {
    let (mut upper, mut lower) = (upper.to_path_buf(), lower.to_path_buf());
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        upper.push(part);
        lower.push(part);
        let found = lower.symlink_metadata();
        let is_above = parts.peek().is_some();
        match found {
            Ok(found) if found.is_dir() && is_above => copy_directory(&upper, &lower)?,
            // A missing parent gets the whiteout, so that the path stays hidden if it appears.
            _ => break,
        }
    }
    let whiteout = mknodat(
        CWD,
        &upper,
        FileType::CharacterDevice,
        Mode::empty(),
        makedev(0, 0),
    );
    match whiteout {
        Err(Errno::EXIST) => Ok(()),
        made => Ok(made?),
    }
}

/// Creates a directory in the upper part of an overlay, with owner, mode, access control lists and
/// times of the lower one: the overlay takes all of them from the upper directory. Does nothing if
/// it exists.
pub(crate) fn copy_directory(upper: &Path, lower: &Path) -> io::Result<()> {
    let found = lower.metadata()?;
    match std::fs::create_dir(upper) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    // Only root can change the owner. For another user, the directory becomes the user's own.
    let _ = chownat(CWD, upper, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
    chmod(upper, Mode::from_raw_mode(found.mode()))?;
    for name in ["system.posix_acl_access", "system.posix_acl_default"] {
        let mut list = [0; 4096];
        // Most directories have no list, and either file system may not support them.
        if let Ok(length) = getxattr(lower, name, &mut list) {
            let list = list.get(..length).unwrap_or_default();
            let _ = setxattr(upper, name, list, XattrFlags::empty());
        }
    }
    let time = |seconds, nanoseconds: i64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(found.atime(), found.atime_nsec()),
        last_modification: time(found.mtime(), found.mtime_nsec()),
    };
    Ok(utimensat(CWD, upper, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Resolves a path of the settings: `~` is the home directory, and a relative path is below `base`.
pub(crate) fn resolve(path: &str, home: &Path, base: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => base.join(path),
    }
}

/// Returns the home directories of the user: `home`, and the one in `/etc/passwd`.
pub(crate) fn homes(home: &Path) -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read("/etc/passwd").unwrap_or_default();
    let of_user = users.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let is_own = fields.next() == Some(uid.as_bytes());
        let home = fields.nth(2).filter(|_| is_own)?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(home)))
    });
    let mut homes = vec![home.to_path_buf()];
    // Service accounts have `/`.
    homes.extend(of_user.filter(|it| it != home && it.is_absolute() && it.parent().is_some()));
    homes
}

#[cfg(test)]
#[path = "hidden_tests.rs"]
mod tests;
