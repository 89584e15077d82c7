//! The power `workspace`: the project's files, to be read only, and the file that the reference
//! names, wherever that is. Does not know about references or resolvers.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::contract::convert::{error, io_error};
use crate::contract::data::Error;
use crate::contract::limits::{DIRECTORY_ENTRIES, WORKSPACE_READ};
use crate::contract::world::World;
use crate::instance::grants::{Grant, is_below_working_directory};
use crate::instance::log::LogLevel;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::read_at;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptionsExt as _};
use rustix::fs::{Access, OFlags};

pub(crate) static POWER: Power = Power {
    name: "workspace",
    worlds: &[World::Resolver, World::Varianter],
    words: "read files of the project",
    grant: Some(&DIRECTORIES),
    more_grants: &[],
};

/// The grant of directories of the project.
pub(crate) static DIRECTORIES: Grant = Grant {
    name: "workspace",
    parameter: "DIR",
    default: Some(WHOLE_PROJECT),
    built_in: Some(WHOLE_PROJECT),
    check: |directory| match directory != "*" && is_below_working_directory(Path::new(directory)) {
        true => Ok(()),
        false => {
            Err("that is no directory of the project, as `tests`, or `.` for all of it".to_owned())
        }
    },
    provenance: &[],
    propose: None,
    summary: "directories of the project that the plugin may read",
};

/// The directory that stands for the whole project.
pub(crate) const WHOLE_PROJECT: &str = ".";

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    /// A link to nothing, a pipe, a socket or a device.
    Other,
}

/// What the host knows about a file without opening it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileStat {
    pub(crate) kind: FileKind,
    /// In bytes; 0 for anything but an ordinary file.
    pub(crate) size: u64,
    /// Whether it is an ordinary file that may be executed.
    pub(crate) executable: bool,
}

/// Directories that a plugin sees, each with its path in the project.
pub(crate) type Views = Arc<[(PathBuf, Dir)]>;

/// What one instance sees of the project.
pub(crate) struct Workspace {
    views: Views,
    /// The absolute path of the project, to recognize absolute paths into it.
    project: Arc<Path>,
    reference: String,
}

impl Workspace {
    pub(crate) fn new(views: Views, project: Arc<Path>) -> Self {
        Self {
            views,
            project,
            reference: String::new(),
        }
    }

    /// Returns the visible directory that has a path, and the rest of the path. A path elsewhere is
    /// refused as if it did not exist.
    fn within(&self, path: &str) -> io::Result<(&Dir, PathBuf)> {
        let path = Path::new(path);
        // By plain components only: cap-std follows `..` and links, and keeps them in the
        // directory.
        let path = path.strip_prefix(&self.project).unwrap_or(path);
        let path: PathBuf = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        let mut views = self.views.iter();
        let found = views.find_map(|(at, dir)| Some((dir, path.strip_prefix(at).ok()?)));
        match found {
            Some((dir, below)) if below.as_os_str().is_empty() => Ok((dir, ".".into())),
            Some((dir, below)) => Ok((dir, below.to_path_buf())),
            None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Sets the reference of the next call. The file that it names is visible; empty for none.
    pub(crate) fn set_reference(&mut self, reference: &str) {
        reference.clone_into(&mut self.reference);
    }

    /// Whether the reference names this very file, as `path` or `path:more`.
    fn is_named(&self, path: &str) -> bool {
        let rest = self.reference.strip_prefix(path);
        rest.filter(|_| !path.is_empty())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }

    fn stat(&self, path: &str) -> io::Result<FileStat> {
        if self.is_named(path) {
            let meta = std::fs::metadata(path)?;
            let executable = meta.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
            return Ok(FileStat {
                kind: kind(meta.is_file(), meta.is_dir()),
                size: size(meta.is_file(), meta.len()),
                executable,
            });
        }
        let (dir, below) = self.within(path)?;
        let meta = dir.metadata(below)?;
        Ok(FileStat {
            kind: kind(meta.is_file(), meta.is_dir()),
            size: size(meta.is_file(), meta.len()),
            executable: meta.is_file() && meta.mode() & 0o111 != 0,
        })
    }

    /// Opens an ordinary file. Its kind is checked before, and opening does not block on a pipe
    /// that has taken its place since.
    fn open(&self, path: &str) -> Result<std::fs::File, Error> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC)
            .bits()
            .cast_signed();
        let open = || -> io::Result<std::fs::File> {
            if self.is_named(path) {
                // Opening a device can have effects.
                if !std::fs::metadata(path)?.is_file() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                return std::fs::File::options()
                    .read(true)
                    .custom_flags(flags)
                    .open(path);
            }
            let (dir, below) = self.within(path)?;
            if !dir.metadata(&below)?.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let mut options = cap_std::fs::OpenOptions::new();
            options.read(true).custom_flags(flags);
            Ok(dir.open_with(below, &options)?.into_std())
        };
        let file = open().map_err(|error| refused(path, &error))?;
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok(file),
            Ok(_) => Err(error("invalid", format!("{path} is not an ordinary file"))),
            Err(error) => Err(refused(path, &error)),
        }
    }
}

/// Opens the directories of a project that a grant names. A directory that does not exist, or is
/// not in the project, shows nothing.
pub(crate) fn views(root: &Dir, paths: &[String]) -> Vec<(PathBuf, Dir)> {
    let open = |path: &String| {
        let parts = Path::new(path).components();
        let at: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
        let dir = root.open_dir(path).ok()?;
        Some((at, dir))
    };
    paths.iter().filter_map(open).collect()
}

fn kind(file: bool, directory: bool) -> FileKind {
    match (file, directory) {
        (true, _) => FileKind::File,
        (_, true) => FileKind::Directory,
        _ => FileKind::Other,
    }
}

fn size(file: bool, length: u64) -> u64 {
    if file { length } else { 0 }
}

/// Returns the contract's error for a path of the project.
fn refused(path: &str, failure: &io::Error) -> Error {
    if failure.kind() == io::ErrorKind::InvalidInput {
        return error("invalid", format!("{path} is not an ordinary file"));
    }
    io_error(path, failure)
}

impl PowerState for Workspace {}

impl InstanceState {
    fn workspace(&mut self) -> Result<&Workspace, Error> {
        self.permitted(&POWER)
            .map(|workspace: &mut Workspace| &*workspace)
    }

    /// Lists a directory of the project, sorted by name.
    pub(crate) fn list_project_directory(
        &mut self,
        path: &str,
    ) -> Result<Vec<(String, FileKind)>, Error> {
        let Listing { entries, left_out } = list(self.workspace()?, path)?;
        if left_out > 0 {
            let message = format!(
                "{path}: {left_out} names are not UTF-8 and are left out of the directory's list"
            );
            self.log.write(LogLevel::Info, &message);
        }
        Ok(entries)
    }

    /// Describes a file of the project.
    pub(crate) fn stat_project_file(&mut self, path: &str) -> Result<FileStat, Error> {
        let view = self.workspace()?;
        view.stat(path).map_err(|error| refused(path, &error))
    }

    /// Reads a piece of a file of the project.
    pub(crate) fn read_project_file(
        &mut self,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Error> {
        let file = self.workspace()?.open(path)?;
        read_at(&file, offset, length, &WORKSPACE_READ).map_err(|error| refused(path, &error))
    }
}

/// The list of a directory.
#[derive(Debug)]
struct Listing {
    /// Sorted by name.
    entries: Vec<(String, FileKind)>,
    /// How many names are not UTF-8. No reference can have such a name.
    left_out: usize,
}

fn list(view: &Workspace, path: &str) -> Result<Listing, Error> {
    let (root, below) = view.within(path).map_err(|error| refused(path, &error))?;
    let mut entries = Vec::new();
    let mut left_out = 0;
    for entry in root
        .read_dir(&below)
        .map_err(|error| refused(path, &error))?
    {
        let entry = entry.map_err(|error| refused(path, &error))?;
        DIRECTORY_ENTRIES.check(entries.len() + left_out + 1)?;
        let Ok(name) = entry.file_name().into_string() else {
            left_out += 1;
            continue;
        };
        let kind = match root.metadata(below.join(&name)) {
            Ok(meta) => kind(meta.is_file(), meta.is_dir()),
            Err(_) => FileKind::Other,
        };
        entries.push((name, kind));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Listing { entries, left_out })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn workspace(root: &Path) -> Workspace {
        part(root, &["."])
    }

    fn part(root: &Path, paths: &[&str]) -> Workspace {
        let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
        let dir = Dir::open_ambient_dir(root, cap_std::ambient_authority()).unwrap();
        Workspace::new(views(&dir, &paths).into(), root.into())
    }

    #[test]
    fn no_path_leads_out_of_the_project() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("in.txt"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.path().join("all")).unwrap();
        let view = workspace(root.path());
        assert_eq!(view.stat("in.txt").unwrap().size, 6);
        assert_eq!(
            view.stat(root.path().join("in.txt").to_str().unwrap())
                .unwrap()
                .size,
            6
        );
        let listing = list(&view, root.path().to_str().unwrap()).unwrap();
        assert_eq!(listing.entries.len(), 3);
        for path in [
            "/etc/passwd",
            "../etc/passwd",
            "link",
            "all/etc/passwd",
            "x/../../../etc/passwd",
        ] {
            assert!(view.stat(path).is_err(), "{path}");
            assert!(view.open(path).is_err(), "{path}");
        }
    }

    #[test]
    fn granted_directories_are_visible_and_nothing_beside_them() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["tests/deep", "secret"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in ["tests/a.txt", "tests/deep/b.txt", "secret/c.txt", "d.txt"] {
            std::fs::write(root.path().join(file), "text").unwrap();
        }
        std::os::unix::fs::symlink("../secret", root.path().join("tests/link")).unwrap();
        std::os::unix::fs::symlink("secret", root.path().join("through")).unwrap();
        let view = part(root.path(), &["./tests", "through", "nowhere", "../.."]);
        let absolute = root.path().join("tests/a.txt");
        for seen in [
            "tests",
            "tests/a.txt",
            "./tests/deep/../a.txt",
            "tests/deep/b.txt",
            absolute.to_str().unwrap(),
        ] {
            assert!(view.stat(seen).is_ok(), "{seen}");
        }
        // The grant names this link, so it is followed.
        assert!(view.stat("through/c.txt").is_ok());
        for hidden in [
            ".",
            "",
            "d.txt",
            "secret/c.txt",
            "tests/../d.txt",
            "tests/link/c.txt",
            "tests2",
            "..",
            "/",
        ] {
            assert!(view.stat(hidden).is_err(), "{hidden}");
            assert!(view.open(hidden).is_err(), "{hidden}");
        }
        assert_eq!(list(&view, "tests").unwrap().entries.len(), 3);
    }

    #[test]
    fn file_that_the_reference_names_may_be_anywhere() {
        let root = tempfile::tempdir().unwrap();
        let mut view = workspace(root.path());
        view.set_reference("/etc/passwd:Class.test");
        assert!(view.stat("/etc/passwd").unwrap().size > 0);
        assert!(view.open("/etc/passwd").is_ok());
        assert!(view.open("/etc/passwd-").is_err());
        assert!(view.open("/etc/group").is_err());
    }

    #[test]
    fn file_of_an_earlier_reference_is_hidden_again() {
        let root = tempfile::tempdir().unwrap();
        let mut view = workspace(root.path());
        view.set_reference("/etc/passwd");
        view.set_reference("/etc/group");
        assert!(view.stat("/etc/passwd").is_err());
        view.set_reference("");
        assert!(view.stat("/etc/group").is_err());
    }

    #[test]
    fn names_that_are_not_utf8_are_counted_and_left_out() {
        use std::os::unix::ffi::OsStrExt as _;
        let root = tempfile::tempdir().unwrap();
        for name in [&b"plain"[..], b"\xff", b"\xfe"] {
            std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        }
        let listing = list(&workspace(root.path()), ".").unwrap();
        assert_eq!(listing.entries.len(), 1);
        assert_eq!(listing.left_out, 2);
    }

    #[test]
    fn pipe_is_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let mut view = workspace(root.path());
        assert_eq!(view.stat("pipe").unwrap().kind, FileKind::Other);
        assert_eq!(view.open("pipe").unwrap_err().code, "invalid");
        let named = pipe.to_str().unwrap();
        view.set_reference(named);
        assert_eq!(view.open(named).unwrap_err().code, "invalid");
    }
}
