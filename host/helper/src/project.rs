//! Owns the receiver of a project: finds out whether this machine has the host's files, and
//! otherwise makes a copy of the project from contents that are kept here or sent. Does not know
//! what the files mean, or how the bytes come here.

mod blobs;
mod tree;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use persea_helper::protocol::archive::{Digest, check_path};
use persea_helper::protocol::project::{
    MAX_PROJECT_ENTRIES, ProjectBegin, ProjectEntry, ProjectEntryKind, ProjectReply, ProjectRequest,
};
use persea_helper::protocol::{MAX_FRAME, decode, encode, truncate_text};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::stdio::stdin;

use self::blobs::{Blobs, NewPack};
use self::tree::{NewFile, Tree};
use crate::shared::{self, Likeness};

/// How much is read from the host at once, in bytes.
const BUFFER: usize = 1 << 20;

/// Why a project was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the connection has ended: {0}")]
    Connection(#[source] io::Error),
    #[error("the host sent something else than a project: {0}")]
    Unexpected(String),
    /// A directory or file cannot be made.
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
}

/// Serves one host: the lease is the only argument.
pub(crate) fn run(arguments: &[OsString]) -> Result<(), ReceiveError> {
    let lease = match arguments {
        [lease] => lease.to_str().and_then(|lease| lease.parse().ok()),
        _ => None,
    };
    let lease = lease.ok_or_else(|| unexpected("the lease is missing"))?;
    // Modes are those of the entries.
    rustix::process::umask(Mode::empty());
    let mut input = BufReader::with_capacity(BUFFER, Input(Duration::from_millis(lease)));
    let received = receive(&mut input);
    if let Err(error @ (ReceiveError::File { .. } | ReceiveError::Unexpected(_))) = &received {
        let _ = reply(&ProjectReply::Failed(truncate_text(error.to_string())));
    }
    received
}

/// The standard input, which fails if nothing comes for a while.
struct Input(Duration);

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = Timespec {
            tv_sec: self.0.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: self.0.subsec_nanos().into(),
        };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => match rustix::io::read(stdin(), &mut *buffer) {
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    read => return Ok(read?),
                },
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn unexpected(what: &str) -> ReceiveError {
    ReceiveError::Unexpected(what.to_owned())
}

fn next(input: &mut impl Read) -> Result<ProjectRequest, ReceiveError> {
    let mut length = [0; 4];
    input
        .read_exact(&mut length)
        .map_err(ReceiveError::Connection)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(unexpected("a message is too long"));
    }
    let mut body = vec![0; length];
    input
        .read_exact(&mut body)
        .map_err(ReceiveError::Connection)?;
    decode(&body).map_err(|error| ReceiveError::Unexpected(error.to_string()))
}

fn reply(reply: &ProjectReply) -> Result<(), ReceiveError> {
    let mut bytes = Vec::new();
    encode(reply, &mut bytes).map_err(|error| ReceiveError::Unexpected(error.to_string()))?;
    let mut output = io::stdout().lock();
    let written = output.write_all(&bytes).and_then(|()| output.flush());
    written.map_err(ReceiveError::Connection)
}

fn receive(input: &mut impl Read) -> Result<(), ReceiveError> {
    let ProjectRequest::Begin(mut begin) = next(input)? else {
        return Err(unexpected("it does not begin"));
    };
    let entries = loop {
        let (why, may_have_changed) = match &begin.shared {
            None => (String::new(), false),
            Some(files) => match shared::check(files, Likeness::Certain) {
                Ok(()) => return reply(&ProjectReply::Shared),
                Err((_, why)) => {
                    let is_alike = shared::check(files, Likeness::Probable).is_ok();
                    (truncate_text(why), is_alike)
                }
            },
        };
        reply(&ProjectReply::NotShared {
            why,
            may_have_changed,
        })?;
        match next(input)? {
            ProjectRequest::Begin(again) => begin = again,
            first => break entries(first, input)?,
        }
    };
    Project::new(&begin, entries)?.complete(input)
}

fn entries(
    first: ProjectRequest,
    input: &mut impl Read,
) -> Result<Vec<ProjectEntry>, ReceiveError> {
    let mut all = Vec::new();
    let mut request = first;
    loop {
        match request {
            ProjectRequest::Entries(entries) => all.extend(entries),
            ProjectRequest::EntriesEnd => break,
            ProjectRequest::Begin(_) => return Err(unexpected("it begins again")),
        }
        if all.len() > MAX_PROJECT_ENTRIES {
            return Err(unexpected("it has too many entries"));
        }
        request = next(input)?;
    }
    for ProjectEntry { path, .. } in &all {
        check_path(&path.0).map_err(|why| unexpected(&format!("the name {path:?} {why}")))?;
    }
    Ok(all)
}

/// A file of the project.
#[derive(Clone, Copy)]
struct FileEntry {
    /// The position among all entries.
    index: usize,
    mode: u32,
    size: u64,
    modified: (i64, u32),
    digest: Digest,
}

/// The project in the making.
struct Project {
    entries: Vec<ProjectEntry>,
    tree: Tree,
    blobs: Blobs,
    pack: NewPack,
    cache_limit: u64,
}

impl Project {
    /// Makes the directories and links.
    fn new(begin: &ProjectBegin, entries: Vec<ProjectEntry>) -> Result<Self, ReceiveError> {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        for other in &begin.others {
            tree::make_directories(&path(&other.0))?;
        }
        let tree = Tree::make(&path(&begin.directory.0), &begin.origin.0)?;
        for ProjectEntry { path, kind } in &entries {
            match kind {
                ProjectEntryKind::Directory { .. } => tree.add_directory(&path.0)?,
                ProjectEntryKind::Link(target) => tree.add_link(&path.0, &target.0)?,
                ProjectEntryKind::File { .. } => {}
            }
        }
        let cache = begin.cache.as_ref().map(|cache| path(&cache.0));
        let cache = cache.or_else(blobs::default_cache);
        let wanted = files(&entries).map(|file| file.digest).collect();
        let blobs = Blobs::find(cache.as_deref(), &wanted);
        Ok(Self {
            entries,
            tree,
            pack: NewPack::begin(cache),
            blobs,
            cache_limit: begin.cache_limit,
        })
    }

    fn path(&self, file: &FileEntry) -> &[u8] {
        self.entries
            .get(file.index)
            .map_or(&[], |entry| &entry.path.0)
    }

    fn new_file(&self, file: &FileEntry) -> Result<NewFile<'_>, ReceiveError> {
        self.tree.create(self.path(file), file.mode)
    }

    /// Makes the files from what is kept and what the host sends, until nothing is missing.
    fn complete(mut self, input: &mut impl Read) -> Result<(), ReceiveError> {
        let all: Vec<FileEntry> = files(&self.entries).collect();
        // The first file of each content that was not kept is made when the host sends it.
        let mut missing = self.make_kept(&all)?;
        while !missing.is_empty() {
            let mut firsts: Vec<FileEntry> = Vec::new();
            let mut others: Vec<(FileEntry, FileEntry)> = Vec::new();
            let mut by_digest: HashMap<Digest, FileEntry> = HashMap::new();
            for file in missing {
                match by_digest.get(&file.digest) {
                    Some(first) => others.push((file, *first)),
                    None => {
                        by_digest.insert(file.digest, file);
                        firsts.push(file);
                    }
                }
            }
            let indices = firsts
                .iter()
                .map(|file| u32::try_from(file.index).unwrap_or(u32::MAX));
            reply(&ProjectReply::Missing(indices.collect()))?;
            for file in &firsts {
                self.receive_file(file, input)?;
            }
            missing = Vec::new();
            for (file, first) in others {
                let mut from = self.tree.open(self.path(&first))?;
                if !self.copy(&file, &mut from)? {
                    missing.push(file);
                }
            }
        }
        let directories = self
            .entries
            .iter()
            .rev()
            .filter_map(|entry| match entry.kind {
                ProjectEntryKind::Directory { mode } => Some((&entry.path.0, mode)),
                ProjectEntryKind::File { .. } | ProjectEntryKind::Link(_) => None,
            });
        for (path, mode) in directories {
            self.tree.set_mode(path, mode)?;
        }
        let not_kept = self.pack.finish().err().map(|error| error.to_string());
        self.blobs.forget_damaged();
        self.blobs.touch_and_evict(self.cache_limit);
        reply(&ProjectReply::Done { not_kept })
    }

    /// Makes the files whose content is kept, by several threads. Returns the others.
    fn make_kept(&self, all: &[FileEntry]) -> Result<Vec<FileEntry>, ReceiveError> {
        let threads = std::thread::available_parallelism().map_or(1, |it| it.get().min(4));
        let part = all.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let parts = all.chunks(part).map(|files| {
                scope.spawn(move || {
                    let mut missing = Vec::new();
                    for file in files {
                        if file.size == 0 && self.copy(file, &mut io::empty())? {
                            continue;
                        }
                        let is_made = match self.blobs.open(&file.digest, file.size) {
                            Some(mut kept) => {
                                let is_made = self.copy(file, &mut kept)?;
                                if !is_made {
                                    self.blobs.mark_damaged(file.digest);
                                }
                                is_made
                            }
                            None => false,
                        };
                        if !is_made {
                            missing.push(*file);
                        }
                    }
                    Ok(missing)
                })
            });
            let parts: Vec<_> = parts.collect();
            let mut missing = Vec::new();
            for part in parts {
                let made = part.join().map_err(|_| unexpected("a thread has failed"))?;
                missing.extend(made?);
            }
            Ok(missing)
        })
    }

    /// Makes a file of what is read. Returns false, and leaves no file, if that is not its content.
    fn copy(&self, file: &FileEntry, from: &mut impl Read) -> Result<bool, ReceiveError> {
        let mut new = self.new_file(file)?;
        let mut left = file.size;
        let mut buffer = [0; 1 << 16];
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            if from.read_exact(room).is_err() {
                break;
            }
            new.write(room)?;
            left -= wanted as u64;
        }
        match left == 0 && new.digest() == file.digest {
            true => new.finish(file.modified)?,
            false => return new.discard().map(|()| false),
        }
        Ok(true)
    }

    /// Makes a file of what the host sends, and keeps the content.
    fn receive_file(
        &mut self,
        file: &FileEntry,
        input: &mut impl Read,
    ) -> Result<(), ReceiveError> {
        let path = self
            .entries
            .get(file.index)
            .map_or(&[][..], |entry| &entry.path.0);
        let mut new = self.tree.create(path, file.mode)?;
        let mut left = file.size;
        let mut buffer = [0; 1 << 16];
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let count = input.read(room).map_err(ReceiveError::Connection)?;
            let Some(read @ [_, ..]) = room.get(..count) else {
                return Err(ReceiveError::Connection(
                    io::ErrorKind::UnexpectedEof.into(),
                ));
            };
            new.write(read)?;
            self.pack.write(read);
            left -= count as u64;
        }
        if new.digest() != file.digest {
            let path = String::from_utf8_lossy(path);
            return Err(unexpected(&format!("{path} has changed while it was sent")));
        }
        self.pack.end_blob(file.digest, file.size);
        new.finish(file.modified)
    }
}

/// The files among entries.
fn files(entries: &[ProjectEntry]) -> impl Iterator<Item = FileEntry> {
    let all = entries.iter().enumerate();
    all.filter_map(|(index, entry)| match entry.kind {
        ProjectEntryKind::File {
            mode,
            size,
            modified,
            digest,
        } => Some(FileEntry {
            index,
            mode,
            size,
            modified,
            digest,
        }),
        ProjectEntryKind::Directory { .. } | ProjectEntryKind::Link(_) => None,
    })
}
