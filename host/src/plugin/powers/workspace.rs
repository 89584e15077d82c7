//! The power `workspace`: the project's files, read only, and the file that the reference names, wherever that is.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, MetadataExt as _, OpenOptionsExt as _};
use rustix::fs::{Access, OFlags};

use super::read_at;
use crate::plugin::bindings::types::Error;
use crate::plugin::bindings::workspace::{FileKind, FileStat, Host};
use crate::plugin::convert::{error, io_error};
use crate::plugin::state::State;

/// The most entries of one directory.
const ENTRIES: usize = 65_536;

/// What a resolver or a varianter may see.
pub(in crate::plugin) struct Workspace {
    root: Arc<Dir>,
    /// Where the root is, to know paths into it that are written from `/`.
    place: Arc<Path>,
    reference: String,
}

impl Workspace {
    pub(in crate::plugin) fn new(root: Arc<Dir>, place: Arc<Path>) -> Self {
        Self {
            root,
            place,
            reference: String::new(),
        }
    }

    /// The path as seen from the project's directory; one that leads elsewhere stays as it is, and is refused.
    fn within<'a>(&self, path: &'a str) -> &'a Path {
        let path = Path::new(path);
        match path.strip_prefix(&self.place) {
            Ok(below) if below.as_os_str().is_empty() => Path::new("."),
            Ok(below) => below,
            Err(_) if path.as_os_str().is_empty() => Path::new("."),
            Err(_) => path,
        }
    }

    /// The reference that the next call is about.
    pub(in crate::plugin) fn look_at(&mut self, reference: &str) {
        reference.clone_into(&mut self.reference);
    }

    /// Whether the user named this very file, as `path` or `path:more`.
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
        let meta = self.root.metadata(self.within(path))?;
        Ok(FileStat {
            kind: kind(meta.is_file(), meta.is_dir()),
            size: size(meta.is_file(), meta.len()),
            executable: meta.is_file() && meta.mode() & 0o111 != 0,
        })
    }

    /// Opens an ordinary file. Not to wait for the other end of a pipe, it's opened without blocking and looked at first.
    fn open(&self, path: &str) -> Result<std::fs::File, Error> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC)
            .bits()
            .cast_signed();
        let open = || -> io::Result<std::fs::File> {
            if self.is_named(path) {
                // Opening a device can do something by itself, so it is looked at before.
                if !std::fs::metadata(path)?.is_file() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                return std::fs::File::options()
                    .read(true)
                    .custom_flags(flags)
                    .open(path);
            }
            let path = self.within(path);
            if !self.root.metadata(path)?.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let mut options = cap_std::fs::OpenOptions::new();
            options.read(true).custom_flags(flags);
            Ok(self.root.open_with(path, &options)?.into_std())
        };
        let file = open().map_err(|error| refused(path, &error))?;
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok(file),
            Ok(_) => Err(error("invalid", format!("{path} is not an ordinary file"))),
            Err(error) => Err(refused(path, &error)),
        }
    }
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

/// cap-std answers a path that leads out of the project with `PermissionDenied` and a text of its own.
fn refused(path: &str, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::InvalidInput {
        return super::super::convert::error("invalid", format!("{path} is not an ordinary file"));
    }
    io_error(path, error)
}

const NO_POWER: &str = "this plugin has no workspace here";

impl State {
    fn workspace(&self) -> Result<&Workspace, Error> {
        self.workspace
            .as_ref()
            .ok_or_else(|| error("unsupported", NO_POWER))
    }
}

impl Host for State {
    fn stat(&mut self, path: String) -> wasmtime::Result<Result<FileStat, Error>> {
        Ok(self
            .workspace()
            .and_then(|view| view.stat(&path).map_err(|error| refused(&path, &error))))
    }

    fn list_directory(
        &mut self,
        path: String,
    ) -> wasmtime::Result<Result<Vec<(String, FileKind)>, Error>> {
        Ok(self.workspace().and_then(|view| list(view, &path)))
    }

    fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.workspace().and_then(|view| {
            let file = view.open(&path)?;
            read_at(&file, offset, length).map_err(|error| refused(&path, &error))
        }))
    }
}

fn list(view: &Workspace, path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    let (root, below) = (&view.root, view.within(path));
    let mut entries = Vec::new();
    for entry in root
        .read_dir(below)
        .map_err(|error| refused(path, &error))?
    {
        let entry = entry.map_err(|error| refused(path, &error))?;
        // A name that is no text cannot be named in a reference either.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let kind = match root.metadata(below.join(&name)) {
            Ok(meta) => kind(meta.is_file(), meta.is_dir()),
            Err(_) => FileKind::Other,
        };
        if entries.len() == ENTRIES {
            return Err(error(
                "too-large",
                format!("{path} has more than {ENTRIES} entries"),
            ));
        }
        entries.push((name, kind));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn workspace(root: &Path) -> Workspace {
        let dir = Dir::open_ambient_dir(root, cap_std::ambient_authority()).unwrap();
        Workspace::new(Arc::new(dir), root.into())
    }

    #[test]
    fn nothing_leads_out_of_the_project() {
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
        assert_eq!(list(&view, root.path().to_str().unwrap()).unwrap().len(), 3);
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
    fn the_file_that_the_user_named_may_be_anywhere() {
        let root = tempfile::tempdir().unwrap();
        let mut view = workspace(root.path());
        view.look_at("/etc/passwd:Class.test");
        assert!(view.stat("/etc/passwd").unwrap().size > 0);
        assert!(view.open("/etc/passwd").is_ok());
        assert!(view.open("/etc/passwd-").is_err());
        assert!(view.open("/etc/group").is_err());
    }

    #[test]
    fn a_pipe_is_looked_at_but_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let mut view = workspace(root.path());
        assert_eq!(view.stat("pipe").unwrap().kind, FileKind::Other);
        assert_eq!(view.open("pipe").unwrap_err().code, "invalid");
        let named = pipe.to_str().unwrap();
        view.look_at(named);
        assert_eq!(view.open(named).unwrap_err().code, "invalid");
    }
}
