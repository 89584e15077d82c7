//! Owns the requests for files of tasks: directories, reading while a task runs, and fetching when
//! it has ended. Does not know what the files mean.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::Path;

use persea_helper::protocol::{Bytes, Id, MAX_LISTED, MAX_READ, Reply, truncate_text};
use persea_helper::removal;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::Server;
use crate::fetch::Archive;

/// The most archives at once. The host fetches one for each task that has ended.
const MAX_ARCHIVES: usize = 64;

/// A failed request: the error, and for which path.
type Failed = (Errno, String);

impl Server {
    pub(super) fn make_directory(&mut self, id: Id, directory: &Bytes, files: &[Bytes]) {
        let made = make_directory(path(directory), files);
        self.reply_result(id, made.map(|()| Reply::Done { id }));
    }

    pub(super) fn read_file(&mut self, id: Id, file: &Bytes, offset: u64, max: u32) {
        let read = read_file(path(file), offset, max.clamp(1, MAX_READ) as usize);
        let read = read.map(|bytes| Reply::Data {
            id,
            bytes: Bytes(bytes),
        });
        self.reply_result(id, read);
    }

    pub(super) fn list_files(&mut self, id: Id, directory: &Bytes, after: &str) {
        let listed = list_files(path(directory), after);
        let listed = listed.map(|(files, is_all)| Reply::Files { id, files, is_all });
        self.reply_result(id, listed);
    }

    pub(super) fn fetch(
        &mut self,
        id: Id,
        directory: &Bytes,
        made: &[Bytes],
        limit: u64,
        max: u32,
    ) {
        if self.archives.len() >= MAX_ARCHIVES {
            let failed = (
                Errno::BUSY,
                "too many archives are being fetched".to_owned(),
            );
            return self.reply_result(id, Err(failed));
        }
        match Archive::open(path(directory), made, limit) {
            Ok(archive) => {
                self.archives.insert(id, archive);
                self.fetch_more(id, id, max);
            }
            Err(errno) => self.reply_result(id, Err(failed(path(directory), errno))),
        }
    }

    pub(super) fn fetch_more(&mut self, id: Id, archive: Id, max: u32) {
        let Some(open) = self.archives.get_mut(&archive) else {
            let failed = (Errno::BADF, "there is no such archive".to_owned());
            return self.reply_result(id, Err(failed));
        };
        let bytes = Bytes(open.read(max.clamp(1, MAX_READ) as usize));
        if open.is_over() {
            self.archives.remove(&archive);
        }
        self.reply(&Reply::Data { id, bytes });
    }

    pub(super) fn remove_directory(&mut self, id: Id, directory: &Bytes) {
        let directory = path(directory);
        self.archives
            .retain(|_, archive| archive.directory() != directory);
        // A test may have taken its own right to enter the directory.
        let _ = removal::grant_owner_access(CWD, directory);
        let removed = removal::remove_tree(directory);
        let removed = removed.map_err(|errno| failed(directory, errno));
        self.reply_result(id, removed.map(|()| Reply::Done { id }));
    }

    fn reply_result(&mut self, id: Id, result: Result<Reply, Failed>) {
        let reply = result.unwrap_or_else(|(errno, message)| Reply::Failed {
            id,
            errno: errno.raw_os_error(),
            message: truncate_text(message),
        });
        self.reply(&reply);
    }
}

fn path(bytes: &Bytes) -> &Path {
    Path::new(OsStr::from_bytes(&bytes.0))
}

fn failed(path: &Path, error: impl Into<io::Error>) -> Failed {
    let error = error.into();
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    (errno, format!("{}: {error}", path.display()))
}

fn make_directory(directory: &Path, files: &[Bytes]) -> Result<(), Failed> {
    let of_directory = |error: io::Error| failed(directory, error);
    if let Some(parent) = directory.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(parent).map_err(of_directory)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    builder
        .mode(0o755)
        .create(directory)
        .map_err(of_directory)?;
    for name in files {
        let file = directory.join(OsStr::from_bytes(&name.0));
        let made = File::options().write(true).create_new(true).open(&file);
        made.map_err(|error| failed(&file, error))?;
    }
    Ok(())
}

/// Opens an ordinary file, and no link.
fn open_file(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(Errno::INVAL.into()),
    }
}

fn read_file(path: &Path, offset: u64, max: usize) -> Result<Vec<u8>, Failed> {
    let read = || {
        let file = open_file(path)?;
        let left = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).map_or(max, |left| left.min(max))];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    };
    read().map_err(|error| failed(path, error))
}

/// Returns the files whose names come behind `after`, and whether these are all.
fn list_files(directory: &Path, after: &str) -> Result<(Vec<(String, u64)>, bool), Failed> {
    let list = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(CWD, directory, flags, Mode::empty())?;
        let mut files = Vec::new();
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(text) = name.to_str().ok().filter(|name| *name > after) else {
                continue;
            };
            let found = match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found?,
            };
            if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
                let size = u64::try_from(found.st_size).unwrap_or(0);
                files.push((text.to_owned(), size));
            }
        }
        Ok(files)
    };
    let mut files = match list() {
        Ok(files) => files,
        // A directory that is missing has no files.
        Err(Errno::NOENT) => Vec::new(),
        Err(errno) => return Err(failed(directory, errno)),
    };
    files.sort_unstable();
    let mut length = 0;
    let fitting = files.iter().take_while(|(name, _)| {
        length += name.len();
        length <= MAX_LISTED
    });
    let count = fitting.count();
    let is_all = count == files.len();
    files.truncate(count);
    Ok((files, is_all))
}
