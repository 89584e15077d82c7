//! Owns the archive of a directory that the host fetches: lists what is there, and makes the
//! archive piece by piece. Follows no link, and does not block on a pipe or device. Does not know
//! about requests.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use persea_helper::protocol::Bytes;
use persea_helper::protocol::archive::{
    LeftOut, MAX_PATH, MAX_REASON, Record, check_path, encode_record,
};
use persea_helper::protocol::truncate_text;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// The most entries of an archive: 262,144.
const MAX_ENTRIES: usize = 1 << 18;

/// The deepest directory that is fetched. Each open one takes a descriptor.
const MAX_DEPTH: usize = 100;

/// Flags for everything that a test may have replaced by something else.
const CAREFUL: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// An entry of the directory.
struct Entry {
    path: Vec<u8>,
    kind: FileType,
    mode: u32,
    size: u64,
    /// Why the entry could not be looked at.
    failed: Option<Errno>,
}

/// The file that is being read.
struct CurrentFile {
    file: File,
    left: u64,
    digest: Sha256,
    is_whole: bool,
}

/// An archive in the making.
pub(crate) struct Archive {
    directory: PathBuf,
    /// None for a directory that is missing.
    root: Option<OwnedFd>,
    entries: std::vec::IntoIter<Entry>,
    /// The number of entries that are not listed.
    too_many: u64,
    /// How much content the archive may still have, in bytes.
    limit: u64,
    file: Option<CurrentFile>,
    /// What is made and not returned yet.
    made: Vec<u8>,
    has_ended: bool,
}

impl Archive {
    /// Lists a directory. If it has nothing but empty files of `made`, the archive is empty.
    pub(crate) fn open(directory: &Path, made: &[Bytes], limit: u64) -> Result<Self, Errno> {
        let root = match openat(CWD, directory, CAREFUL | OFlags::DIRECTORY, Mode::empty()) {
            Ok(root) => Some(root),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        let mut listing = Listing::default();
        if let Some(root) = &root {
            listing.add(root.as_fd(), &[], 0);
        }
        let mut entries = listing.entries;
        let is_made = |entry: &Entry| made.iter().any(|it| it.0 == entry.path);
        let is_new = |entry: &Entry| {
            entry.kind == FileType::RegularFile && entry.size == 0 && is_made(entry)
        };
        if listing.too_many == 0 && entries.iter().all(is_new) {
            entries.clear();
        }
        // What the host has asked for comes first, and directories before what is in them.
        entries.sort_by(|a, b| (!is_made(a), &a.path).cmp(&(!is_made(b), &b.path)));
        Ok(Self {
            directory: directory.to_owned(),
            root,
            entries: entries.into_iter(),
            too_many: listing.too_many,
            limit,
            file: None,
            made: Vec::new(),
            has_ended: false,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether all of the archive was returned.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.made.is_empty()
    }

    /// Returns the next part, of at most `max` bytes; none only at the end.
    pub(crate) fn read(&mut self, max: usize) -> Vec<u8> {
        while self.made.len() < max && !self.has_ended {
            if self.file.is_some() {
                self.add_content(max);
            } else if let Some(entry) = self.entries.next() {
                self.add(entry);
            } else {
                let left_out = self.too_many;
                self.record(&Record::End { left_out });
                self.has_ended = true;
            }
        }
        let rest = self.made.split_off(self.made.len().min(max));
        std::mem::replace(&mut self.made, rest)
    }

    /// Adds a record. One that is too long for a record names nothing that the host could store.
    fn record(&mut self, record: &Record) {
        if encode_record(record, &mut self.made).is_err() {
            self.too_many += 1;
        }
    }

    fn leave_out(&mut self, path: Vec<u8>, why: LeftOut) {
        let path = Bytes(path);
        self.record(&Record::LeftOut { path, why });
    }

    fn add(&mut self, entry: Entry) {
        let Entry {
            path,
            kind,
            mode,
            size,
            failed,
        } = entry;
        if let Some(errno) = failed {
            return self.leave_out(path, unreadable(errno));
        }
        match kind {
            FileType::Directory => {
                let path = Bytes(path);
                self.record(&Record::Directory { path, mode });
            }
            FileType::Symlink => match self.read_link(&path) {
                Ok(target) => {
                    let (path, target) = (Bytes(path), Bytes(target));
                    self.record(&Record::Link { path, target });
                }
                Err(errno) => self.leave_out(path, unreadable(errno)),
            },
            FileType::RegularFile if size > self.limit => {
                self.leave_out(path, LeftOut::Size(size));
            }
            FileType::RegularFile => match self.open_file(&path) {
                Ok(file) => {
                    self.limit -= size;
                    let path = Bytes(path);
                    self.record(&Record::File { path, mode, size });
                    self.file = Some(CurrentFile {
                        file,
                        left: size,
                        digest: Sha256::new(),
                        is_whole: true,
                    });
                }
                Err(errno) => self.leave_out(path, unreadable(errno)),
            },
            _ => self.leave_out(path, LeftOut::Kind),
        }
    }

    fn add_content(&mut self, max: usize) {
        let Some(current) = &mut self.file else {
            return;
        };
        if current.left == 0 {
            let record = Record::FileEnd {
                digest: std::mem::take(&mut current.digest).finalize().into(),
                is_whole: current.is_whole,
            };
            self.file = None;
            return self.record(&record);
        }
        let wanted = max.saturating_sub(self.made.len()).max(1);
        let wanted = usize::try_from(current.left).map_or(wanted, |left| left.min(wanted));
        let begin = self.made.len();
        self.made.resize(begin + wanted, 0);
        let room = self.made.get_mut(begin..).unwrap_or_default();
        // At the end of a file that has become shorter, the rest are zeros.
        let read = match current.is_whole {
            true => read_some(&mut current.file, room),
            false => 0,
        };
        let length = match read {
            0 => {
                current.is_whole = false;
                wanted
            }
            read => read,
        };
        self.made.truncate(begin + length);
        current
            .digest
            .update(self.made.get(begin..).unwrap_or_default());
        current.left -= length as u64;
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let (parent, name) = self.parent(path)?;
        let target = readlinkat(parent, name, Vec::new())?;
        Ok(target.into_bytes())
    }

    fn open_file(&self, path: &[u8]) -> Result<File, Errno> {
        let (parent, name) = self.parent(path)?;
        let file = openat(parent, name, CAREFUL, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Opens the directory of an entry, through no link. Returns it with the name of the entry.
    fn parent<'a>(&self, path: &'a [u8]) -> Result<(OwnedFd, &'a OsStr), Errno> {
        let root = self.root.as_ref().ok_or(Errno::NOENT)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = openat(root, ".", flags, Mode::empty())?;
        let mut names = path.split(|byte| *byte == b'/').map(OsStr::from_bytes);
        let name = names.next_back().ok_or(Errno::NOENT)?;
        for name in names {
            directory = openat(&directory, name, flags, Mode::empty())?;
        }
        Ok((directory, name))
    }
}

/// Reads what comes next, or nothing at the end and after an error.
fn read_some(file: &mut File, room: &mut [u8]) -> usize {
    loop {
        match file.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.unwrap_or(0),
        }
    }
}

fn unreadable(errno: Errno) -> LeftOut {
    let mut reason = truncate_text(io::Error::from(errno).to_string());
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    LeftOut::Unreadable(reason)
}

/// What is in a directory.
#[derive(Default)]
struct Listing {
    entries: Vec<Entry>,
    too_many: u64,
}

impl Listing {
    /// Adds everything in a directory with this path, and in those below.
    fn add(&mut self, directory: BorrowedFd<'_>, path: &[u8], depth: usize) {
        let entries = match Dir::read_from(directory) {
            Ok(entries) => entries,
            Err(errno) => return self.fail(path, errno),
        };
        for entry in entries {
            let name: CString = match entry {
                Ok(entry) => entry.file_name().to_owned(),
                Err(errno) => return self.fail(path, errno),
            };
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                self.add_entry(directory, path, &name, depth);
            }
        }
    }

    fn fail(&mut self, path: &[u8], errno: Errno) {
        if let Some(entry) = self.entries.iter_mut().rfind(|entry| entry.path == path) {
            entry.failed.get_or_insert(errno);
        }
    }

    fn add_entry(&mut self, directory: BorrowedFd<'_>, parent: &[u8], name: &CStr, depth: usize) {
        let path = match parent {
            [] => name.to_bytes().to_vec(),
            parent => [parent, b"/", name.to_bytes()].concat(),
        };
        let is_nameable = path.len() <= MAX_PATH && check_path(&path).is_ok();
        if self.entries.len() == MAX_ENTRIES || !is_nameable {
            self.too_many += 1;
            return;
        }
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return,
            Err(errno) => {
                return self.entries.push(Entry {
                    path,
                    kind: FileType::Unknown,
                    mode: 0,
                    size: 0,
                    failed: Some(errno),
                });
            }
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        self.entries.push(Entry {
            path: path.clone(),
            kind,
            mode: found.st_mode & 0o7777,
            size: u64::try_from(found.st_size).unwrap_or(0),
            failed: None,
        });
        if kind != FileType::Directory {
            return;
        }
        match openat(directory, name, CAREFUL | OFlags::DIRECTORY, Mode::empty()) {
            Ok(below) if depth < MAX_DEPTH => self.add(below.as_fd(), &path, depth + 1),
            Ok(_) => self.fail(&path, Errno::NAMETOOLONG),
            Err(errno) => self.fail(&path, errno),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use persea_helper::protocol::archive::{ArchiveItem, ArchiveReader};

    use super::*;

    /// The records of an archive by their paths, and the contents of files.
    type Fetched = (BTreeMap<String, Record>, BTreeMap<String, Vec<u8>>);

    fn fetch(directory: &Path, made: &[&str], limit: u64, piece: usize) -> Fetched {
        let made: Vec<Bytes> = made
            .iter()
            .map(|it| Bytes(it.as_bytes().to_vec()))
            .collect();
        let mut archive = Archive::open(directory, &made, limit).unwrap();
        let mut reader = ArchiveReader::default();
        let (mut records, mut contents) = Fetched::default();
        let mut last = String::new();
        while !archive.is_over() {
            let part = archive.read(piece);
            assert!(!part.is_empty() && part.len() <= piece);
            reader.push(&part);
            while let Some(item) = reader.next_item().unwrap() {
                match item {
                    ArchiveItem::Content(content) => {
                        let all: &mut Vec<u8> = contents.entry(last.clone()).or_default();
                        all.extend_from_slice(content);
                    }
                    ArchiveItem::Record(record) => {
                        if let Record::Directory { path, .. }
                        | Record::File { path, .. }
                        | Record::Link { path, .. }
                        | Record::LeftOut { path, .. } = &record
                        {
                            last = String::from_utf8_lossy(&path.0).into_owned();
                            records.insert(last.clone(), record);
                        }
                    }
                }
            }
        }
        assert!(reader.has_ended());
        (records, contents)
    }

    #[test]
    fn everything_in_a_directory_is_in_its_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/c"), [1; 5000]).unwrap();
        fs::write(path.join("stdout"), "text").unwrap();
        fs::set_permissions(path.join("stdout"), fs::Permissions::from_mode(0o4750)).unwrap();
        symlink("/etc/passwd", path.join("link")).unwrap();
        let strange = path.join(OsStr::from_bytes(b"\xff"));
        fs::write(strange, "").unwrap();
        rustix::fs::mkfifoat(CWD, path.join("pipe"), Mode::RWXU).unwrap();
        for piece in [1, 100, 1 << 20] {
            let (records, contents) = fetch(path, &["stdout"], 1 << 20, piece);
            assert_eq!(contents["a/b/c"], [1; 5000]);
            assert_eq!(contents["stdout"], b"text");
            let Record::File { mode: 0o750, .. } = records["stdout"] else {
                panic!("{:?}", records["stdout"]);
            };
            let Record::Link { target, .. } = &records["link"] else {
                panic!("{records:?}");
            };
            assert_eq!(target.0, b"/etc/passwd");
            assert!(matches!(
                &records["pipe"],
                Record::LeftOut {
                    why: LeftOut::Kind,
                    ..
                }
            ));
            assert_eq!(records.len(), 7, "{records:?}");
        }
    }

    #[test]
    fn missing_directory_and_one_with_empty_made_files_only_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        let made = ["stdout", "debug.log"];
        assert!(fetch(&dir.path().join("none"), &made, 9, 99).0.is_empty());
        fs::write(dir.path().join("stdout"), "").unwrap();
        assert!(fetch(dir.path(), &made, 9, 99).0.is_empty());
        fs::write(dir.path().join("own"), "").unwrap();
        assert_eq!(fetch(dir.path(), &made, 9, 99).0.len(), 2);
    }

    #[test]
    fn file_beyond_the_limit_is_left_out_and_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), [0; 90]).unwrap();
        fs::write(dir.path().join("b"), [0; 90]).unwrap();
        fs::write(dir.path().join("stdout"), "out").unwrap();
        let (records, contents) = fetch(dir.path(), &["stdout"], 100, 64);
        assert_eq!(contents["stdout"], b"out");
        let why = LeftOut::Size(90);
        assert!(matches!(&records["b"], Record::LeftOut { why: it, .. } if *it == why));
        assert!(!contents.contains_key("b") && contents.contains_key("a"));
    }
}
