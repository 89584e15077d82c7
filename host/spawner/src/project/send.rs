//! Owns the transfer of a project to another host: asks whether that host has the files already,
//! sends what is there, and then the contents that are missing there. Works over any pair of byte
//! streams. Does not know how the receiver was started.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use persea_config::Sharing;
use persea_helper::protocol::project::{
    MAX_ENTRIES, MAX_PROJECT_REPLY, ProjectBegin, ProjectEntry, ProjectEntryKind, ProjectReply,
    ProjectRequest,
};
use persea_helper::protocol::{Bytes, SharedFiles, decode, encode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{Manifest, Project, scan};
use crate::SpawnError;

/// How often a host is asked whether it shares the files, while the project's directory changes.
const QUESTIONS: usize = 3;

/// How often the question is repeated while the project is read: every 250 ms, several times in the
/// shortest lease.
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);

/// The size of the pieces in which contents are sent, in bytes.
const PIECE: usize = 1 << 18;

/// Why a project was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The connection was lost.
    #[error("the connection was lost while the project was sent: {0}")]
    Lost(#[source] io::Error),
    /// The receiver gave up.
    #[error("it cannot take the project: {0}")]
    Refused(String),
    /// The receiver said something impossible.
    #[error("its answer about the project makes no sense: {0}")]
    Unexpected(String),
    /// A file was changed, and with it what is to be sent.
    #[error("{0} has changed while it was sent")]
    Changed(String),
    /// The project cannot be read.
    #[error(transparent)]
    Project(SpawnError),
}

/// How a host has the files of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// It shares them.
    Shared,
    /// They were sent.
    Sent(Sent),
}

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Why the files are not shared; empty where nobody asked.
    pub(crate) why: String,
    /// The number of files and of bytes of the project.
    pub(crate) files: usize,
    pub(crate) size: u64,
    /// The number of bytes of contents that were not there yet.
    pub(crate) sent: u64,
    /// How long it took, with the question whether the files are shared.
    pub(crate) took: Duration,
    pub(crate) left_out: Vec<String>,
    /// Why the contents are not kept for the next job, if so.
    pub(crate) not_kept: Option<String>,
}

/// Where a project goes.
pub(crate) struct Destination {
    /// The absolute path of the new directory for the project.
    pub(crate) directory: String,
    /// Further directories to make.
    pub(crate) others: Vec<String>,
}

/// A connection to a receiver.
struct Receiver<R, W> {
    reader: R,
    writer: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Receiver<R, W> {
    /// Writes bytes. If that fails, the receiver has said why, or the connection is lost.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        match self.writer.write_all(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(match self.reply().await {
                Err(refused @ SendError::Refused(_)) => refused,
                Ok(_) | Err(_) => SendError::Lost(error),
            }),
        }
    }

    async fn send(&mut self, request: &ProjectRequest) -> Result<(), SendError> {
        let mut bytes = Vec::new();
        encode(request, &mut bytes).map_err(|error| SendError::Unexpected(error.to_string()))?;
        self.write(&bytes).await
    }

    async fn reply(&mut self) -> Result<ProjectReply, SendError> {
        let mut length = [0; 4];
        let read = self.reader.read_exact(&mut length).await;
        read.map_err(SendError::Lost)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_PROJECT_REPLY {
            return Err(SendError::Unexpected(format!(
                "a message of {length} bytes"
            )));
        }
        let mut body = vec![0; length];
        let read = self.reader.read_exact(&mut body).await;
        read.map_err(SendError::Lost)?;
        match decode(&body).map_err(|error| SendError::Unexpected(error.to_string()))? {
            ProjectReply::Failed(why) => Err(SendError::Refused(why)),
            reply => Ok(reply),
        }
    }
}

/// Sends a project, unless the other host shares the files and the user has not asked for that.
/// `describe` returns what the other host must see if it shares the files.
pub(crate) async fn send(
    project: &Project,
    destination: &Destination,
    describe: impl Fn() -> io::Result<SharedFiles>,
    (reader, writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
) -> Result<Transfer, SendError> {
    let began = Instant::now();
    let mut receiver = Receiver { reader, writer };
    let Some(why) = ask(project, destination, &describe, &mut receiver).await? else {
        return Ok(Transfer::Shared);
    };
    let mut scanned = pin!(project.manifest());
    let manifest = loop {
        tokio::select! {
            biased;
            manifest = &mut scanned => break manifest.map_err(SendError::Project)?,
            // The receiver ends if nothing comes for the time of its lease.
            () = tokio::time::sleep(REPEAT_INTERVAL) => {
                if ask(project, destination, &describe, &mut receiver).await?.is_none() {
                    return Ok(Transfer::Shared);
                }
            }
        }
    };
    for entries in manifest.entries.chunks(MAX_ENTRIES) {
        let request = ProjectRequest::Entries(entries.to_vec());
        receiver.send(&request).await?;
    }
    receiver.send(&ProjectRequest::EntriesEnd).await?;
    let is_file = |entry: &&ProjectEntry| matches!(entry.kind, ProjectEntryKind::File { .. });
    let mut done = Sent {
        why,
        files: manifest.entries.iter().filter(is_file).count(),
        size: manifest.size,
        left_out: manifest.left_out.clone(),
        ..Sent::default()
    };
    loop {
        match receiver.reply().await? {
            ProjectReply::Missing(indices) => {
                let sent = contents(project, &manifest, indices, &mut receiver).await;
                match sent {
                    Ok(sent) => done.sent += sent,
                    Err(error) => {
                        project.forget(&manifest).await;
                        return Err(error);
                    }
                }
            }
            ProjectReply::Done { not_kept } => {
                done.not_kept = not_kept;
                done.took = began.elapsed();
                return Ok(Transfer::Sent(done));
            }
            other => return Err(SendError::Unexpected(format!("{other:?}"))),
        }
    }
}

/// Asks whether the other host shares the files. Returns why it does not.
async fn ask(
    project: &Project,
    destination: &Destination,
    describe: &impl Fn() -> io::Result<SharedFiles>,
    receiver: &mut Receiver<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
) -> Result<Option<String>, SendError> {
    let bytes = |path: &str| Bytes(path.as_bytes().to_vec());
    let mut questions = QUESTIONS;
    loop {
        let shared = match project.sharing {
            Sharing::Sent => None,
            Sharing::Auto | Sharing::Shared => Some(describe().map_err(|error| {
                SendError::Project(SpawnError::Invalid(format!(
                    "cannot prepare the check whether other hosts share the files of this one: \
                     {error}"
                )))
            })?),
        };
        let begin = ProjectBegin {
            shared,
            origin: Bytes(project.directory.as_os_str().as_bytes().to_vec()),
            directory: bytes(&destination.directory),
            others: destination.others.iter().map(|it| bytes(it)).collect(),
            cache: project.cache.as_deref().map(bytes),
            cache_limit: project.cache_limit,
        };
        receiver.send(&ProjectRequest::Begin(begin)).await?;
        questions -= 1;
        match receiver.reply().await? {
            ProjectReply::Shared => return Ok(None),
            ProjectReply::NotShared {
                may_have_changed: true,
                ..
            } if questions > 0 => {}
            ProjectReply::NotShared { why, .. } => return Ok(Some(why)),
            other => return Err(SendError::Unexpected(format!("{other:?}"))),
        }
    }
}

/// Sends the contents of these entries. Returns the number of bytes.
async fn contents(
    project: &Project,
    manifest: &Arc<Manifest>,
    indices: Vec<u32>,
    receiver: &mut Receiver<impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
) -> Result<u64, SendError> {
    let mut files = Vec::with_capacity(indices.len());
    for index in indices {
        let index = index as usize;
        let entry = manifest.entries.get(index);
        let state = manifest.states.get(index).copied().flatten();
        let (Some(entry), Some(state)) = (entry, state) else {
            return Err(SendError::Unexpected(format!("entry {index} is no file")));
        };
        let ProjectEntryKind::File { size, .. } = entry.kind else {
            return Err(SendError::Unexpected(format!("entry {index} is no file")));
        };
        files.push((project.path(entry), size, state));
    }
    // Files are read ahead while earlier ones are on their way.
    let (pieces, mut read) = mpsc::channel(8);
    let reading = tokio::task::spawn_blocking(move || read_all(&files, &pieces));
    let mut sent = 0;
    while let Some(piece) = read.recv().await {
        let piece: Vec<u8> = piece;
        receiver.write(&piece).await?;
        sent += piece.len() as u64;
    }
    drop(read);
    match reading.await {
        Ok(Ok(())) => Ok(sent),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(SendError::Lost(io::ErrorKind::Interrupted.into())),
    }
}

/// Reads files, each with its size and state, and sends the pieces to the channel.
fn read_all(
    files: &[(std::path::PathBuf, u64, scan::FileState)],
    pieces: &mpsc::Sender<Vec<u8>>,
) -> Result<(), SendError> {
    let mut piece = Vec::with_capacity(PIECE);
    for (path, size, state) in files {
        let changed = || SendError::Changed(path.display().to_string());
        read_one(path, (*size, *state), &mut piece, pieces).map_err(|error| match error {
            Some(error) if error.kind() != io::ErrorKind::NotFound => {
                SendError::Project(SpawnError::Invalid(format!(
                    "the project cannot be sent, {} cannot be read: {error}",
                    path.display()
                )))
            }
            Some(_) | None => changed(),
        })?;
    }
    let _ = pieces.blocking_send(piece);
    Ok(())
}

/// Reads one file. The error is none if the file is not in its state any more.
fn read_one(
    path: &Path,
    (size, state): (u64, scan::FileState),
    piece: &mut Vec<u8>,
    pieces: &mpsc::Sender<Vec<u8>>,
) -> Result<(), Option<io::Error>> {
    let mut file = scan::open(path)?;
    let is_unchanged = |file: &std::fs::File| -> io::Result<bool> {
        Ok(scan::state_of(&file.metadata()?) == state)
    };
    if !is_unchanged(&file)? {
        return Err(None);
    }
    let mut left = size;
    while left > 0 {
        let begin = piece.len();
        let room = PIECE.saturating_sub(begin).max(1);
        let wanted = usize::try_from(left).map_or(room, |left| left.min(room));
        piece.resize(begin + wanted, 0);
        let read = io::Read::read(&mut file, piece.get_mut(begin..).unwrap_or_default());
        let count = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                piece.truncate(begin);
                continue;
            }
            read => read?,
        };
        if count == 0 {
            return Err(None);
        }
        piece.truncate(begin + count);
        left -= count as u64;
        if piece.len() >= PIECE {
            let full = std::mem::replace(piece, Vec::with_capacity(PIECE));
            // Fails if nobody sends it any more.
            if pieces.blocking_send(full).is_err() {
                return Ok(());
            }
        }
    }
    match is_unchanged(&file)? {
        true => Ok(()),
        false => Err(None),
    }
}
