//! An environment and the processes in it, as the rest of the host sees them. It must not know where the environment is.

use std::path::Path;
use std::sync::Arc;

use persea_helper::protocol::{Bytes, Id, MAX_READ, Reply, Request};
use rustix::io::Errno;
use tokio::sync::{Mutex, oneshot};

use super::channel::{CLOSE_WITHIN, Channel, END_WITHIN, ExitWatch};
use super::command::{Command, Exit, Stream};
use super::error::SpawnError;
use super::private::PrivateDirectory;
use persea_system::directory_handle::DirectoryHandle;

/// A write is sent in pieces of this size, so that none is too large for the channel.
const PIECE: usize = 1 << 20;

/// A place where processes of one task at a time run. Clones are the same place; when the last one and the last [`Child`]
/// are dropped, it is closed.
#[derive(Clone)]
pub struct Environment {
    inner: Arc<Inner>,
}

struct Inner {
    channel: Arc<Channel>,
    work_dir: String,
    private: Option<Arc<PrivateDirectory>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.channel.close();
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("work_dir", &self.inner.work_dir)
            .finish_non_exhaustive()
    }
}

impl Environment {
    pub(super) fn new(
        channel: Arc<Channel>,
        work_dir: String,
        private: Option<Arc<PrivateDirectory>>,
    ) -> Environment {
        Environment {
            inner: Arc::new(Inner {
                channel,
                work_dir,
                private,
            }),
        }
    }

    /// Starts a process and waits for its end. None of its streams may be a pipe. Dropping the future ends the process.
    pub async fn run(&self, command: Command) -> Result<Exit, SpawnError> {
        if command.has_pipes() {
            return Err(SpawnError::Invalid(
                "a process that is run to its end can't have pipes; start it instead".to_owned(),
            ));
        }
        let channel = &self.inner.channel;
        let program = command.program.clone();
        let (id, mut told, _) = channel.start(command.into_start(true))?;
        let guard = ForgetOnDrop::new(channel, id);
        let reply = channel.reply(&mut told).await?;
        guard.disarm();
        match reply {
            Reply::Exited { exit, .. } => Ok(exit.into()),
            Reply::StartFailed { failure, .. } => Err(SpawnError::of_start(program, failure)),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts a process.
    pub async fn start(&self, command: Command) -> Result<Child, SpawnError> {
        let channel = &self.inner.channel;
        let piped = [Stream::Stdout, Stream::Stderr, Stream::Report].map(|s| command.pipes(s));
        let has_pipes = command.has_pipes();
        let program = command.program.clone();
        let (id, mut told, exit) = channel.start(command.into_start(false))?;
        let guard = ForgetOnDrop::new(channel, id);
        match channel.reply(&mut told).await? {
            Reply::Started { pid, .. } => {
                guard.disarm();
                Ok(Child {
                    environment: self.clone(),
                    id,
                    pid,
                    exit: exit.ok_or(SpawnError::Closed("the process"))?,
                    has_pipes,
                    reading: piped.map(|piped| piped.then(Mutex::default)),
                    writing: Mutex::default(),
                })
            }
            Reply::StartFailed { failure, .. } => {
                guard.disarm();
                Err(SpawnError::of_start(program, failure))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a signal to every process here, whatever its group or session.
    pub async fn signal_all(&self, signal: i32) -> Result<(), SpawnError> {
        self.ask("sending a signal to all", |id| Request::SignalAll {
            id,
            only_for: None,
            signal,
        })
        .await
    }

    /// Stops every process here that isn't stopped already.
    pub async fn pause(&self) -> Result<(), SpawnError> {
        self.ask("pausing", |id| Request::Pause { id }).await
    }

    /// Lets those processes go on that [`Environment::pause`] has stopped.
    pub async fn resume(&self) -> Result<(), SpawnError> {
        self.ask("resuming", |id| Request::Resume { id }).await
    }

    /// Ends every process here and empties the work directory; says how many processes there were. Costs nothing when the
    /// last process to end left neither a process nor a file.
    ///
    /// After an error the environment is not fit for another task.
    pub async fn end_task(&self) -> Result<usize, SpawnError> {
        if self.inner.channel.is_clean() {
            return Ok(0);
        }
        self.end(None).await
    }

    /// Ends every process of the environment; with `only_for`, only while that queued child runs.
    pub(super) async fn end(&self, only_for: Option<Id>) -> Result<usize, SpawnError> {
        let channel = &self.inner.channel;
        let mut told = channel.request(|id| Request::EndTask { id, only_for })?;
        let reply = match tokio::time::timeout(END_WITHIN, channel.reply(&mut told)).await {
            Ok(reply) => reply,
            Err(_) => {
                channel.give_up();
                channel.reply(&mut told).await
            }
        };
        match reply? {
            Reply::TaskEnded { leftovers, .. } => Ok(leftovers as usize),
            other => Err(failure("ending the task", other)),
        }
    }

    /// A directory, in the environment, that is empty when a task begins.
    pub fn work_dir(&self) -> &str {
        &self.inner.work_dir
    }

    /// The directory that it has in place of this one of the host's, where it has. It is there as long as anybody has the environment, also
    /// when that is closed.
    pub fn private_directory(&self, directory: &Path) -> Option<&DirectoryHandle> {
        let private = self.inner.private.as_ref()?;
        (private.shown == directory).then_some(&private.handle)
    }

    /// Whether both are the same place.
    pub fn is_same(&self, other: &Environment) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether it can still be used.
    pub fn is_alive(&self) -> bool {
        self.inner.channel.is_alive()
    }

    /// Waits until it can't be used any more, because it was closed or its helper has died, and everything in it has ended.
    pub async fn closed(&self) {
        self.inner.channel.closed().await;
    }

    /// Ends every process here and waits until all is gone, the work directory too.
    pub async fn close(&self) {
        let channel = &self.inner.channel;
        channel.close();
        // A helper that was stopped, as by one of its processes, never says that it has ended.
        if tokio::time::timeout(CLOSE_WITHIN, self.closed())
            .await
            .is_err()
        {
            channel.give_up();
            self.closed().await;
        }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    pub(super) async fn ask(
        &self,
        what: &'static str,
        make: impl FnOnce(Id) -> Request,
    ) -> Result<(), SpawnError> {
        done(what, self.inner.channel.ask(make).await?)
    }
}

/// Ends a process that nobody waits for any more, should the future that started it be dropped.
pub(super) struct ForgetOnDrop<'a> {
    channel: &'a Channel,
    child: Option<Id>,
}

impl<'a> ForgetOnDrop<'a> {
    pub(super) fn new(channel: &'a Channel, child: Id) -> ForgetOnDrop<'a> {
        ForgetOnDrop {
            channel,
            child: Some(child),
        }
    }

    pub(super) fn disarm(mut self) {
        self.child = None;
    }
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child {
            self.channel.tell(&Request::Forget { child });
        }
    }
}

/// What is left of a read or write whose future was dropped: its reply, and what was read and not yet handed out.
#[derive(Default)]
struct Transfer {
    reply: Option<oneshot::Receiver<Reply>>,
    read: Vec<u8>,
}

/// A process that was started. Dropping it ends the process, and the others of its process group.
pub struct Child {
    environment: Environment,
    id: Id,
    pid: u32,
    exit: ExitWatch,
    has_pipes: bool,
    /// Standard output, standard error, report; none where that is no pipe.
    reading: [Option<Mutex<Transfer>>; 3],
    writing: Mutex<Transfer>,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Child {
    /// Its number in its environment.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Waits until a pipe has something, and reads up to `max` bytes (and at most 1 MiB) of it. Empty at its end. When the
    /// future is dropped, what it would have read comes with the next one.
    pub async fn read(&self, stream: Stream, max: u32) -> Result<Vec<u8>, SpawnError> {
        let [stdout, stderr, report] = &self.reading;
        let transfer = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
            Stream::Report => report,
        };
        let Some(transfer) = transfer else {
            return Err(SpawnError::Invalid(format!(
                "{stream:?} of the process is no pipe, so it can't be read"
            )));
        };
        let max = max.clamp(1, MAX_READ);
        let mut transfer = transfer.lock().await;
        let Transfer { reply, read } = &mut *transfer;
        if read.is_empty() {
            let channel = &self.environment.inner.channel;
            let told = match reply {
                Some(told) => told,
                None => {
                    let child = self.id;
                    reply.insert(channel.request(|id| Request::Read {
                        id,
                        child,
                        stream,
                        max,
                    })?)
                }
            };
            let answer = channel.reply(told).await;
            *reply = None;
            match answer? {
                Reply::Data { bytes, .. } => *read = bytes.0,
                other => return Err(failure("reading from a process", other)),
            }
        }
        let rest = read.split_off(read.len().min(max as usize));
        Ok(std::mem::replace(read, rest))
    }

    /// Writes to its standard input, and waits until all is in the pipe. When the future is dropped, only a part may have
    /// been written.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), SpawnError> {
        let mut transfer = self.writing.lock().await;
        let channel = &self.environment.inner.channel;
        // One at a time: first the end of one whose future was dropped. How it went is nobody's business any more.
        if let Some(told) = &mut transfer.reply {
            let _ = channel.reply(told).await;
            transfer.reply = None;
        }
        for piece in bytes.chunks(PIECE) {
            let (child, bytes) = (self.id, Bytes(piece.to_vec()));
            let told =
                transfer
                    .reply
                    .insert(channel.request(|id| Request::Write { id, child, bytes })?);
            let answer = channel.reply(told).await;
            transfer.reply = None;
            done("writing to a process", answer?)?;
        }
        Ok(())
    }

    /// Ends its standard input. What is still being written may be lost.
    pub async fn close_stdin(&self) -> Result<(), SpawnError> {
        let child = self.id;
        self.environment
            .ask("closing the input of a process", |id| Request::CloseStdin {
                id,
                child,
            })
            .await
    }

    /// Sends it a signal, by number; to the process alone, not to its group.
    pub async fn signal(&self, signal: i32) -> Result<(), SpawnError> {
        let child = self.id;
        self.environment
            .ask("sending a signal", |id| Request::Signal {
                id,
                child,
                signal,
            })
            .await
    }

    /// Waits for its end. Answers at once when it has ended.
    pub async fn wait(&self) -> Result<Exit, SpawnError> {
        let mut exit = self.exit.clone();
        let ended = match exit.wait_for(Option::is_some).await {
            Ok(exit) => *exit,
            Err(_) => None,
        };
        ended
            .map(Exit::from)
            .ok_or_else(|| self.environment.inner.channel.ended())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.has_pipes || self.exit.borrow().is_none() {
            let child = self.id;
            self.environment
                .inner
                .channel
                .tell(&Request::Forget { child });
        }
    }
}

fn done(what: &'static str, reply: Reply) -> Result<(), SpawnError> {
    match reply {
        Reply::Done { .. } => Ok(()),
        other => Err(failure(what, other)),
    }
}

fn failure(what: &'static str, reply: Reply) -> SpawnError {
    let Reply::Failed { errno, message, .. } = reply else {
        return unexpected(&reply);
    };
    match Errno::from_raw_os_error(errno) {
        Errno::PIPE | Errno::BADF | Errno::CANCELED => SpawnError::Closed("the pipe"),
        Errno::SRCH => SpawnError::Closed("the process"),
        Errno::INVAL => SpawnError::Invalid(message),
        _ => SpawnError::Request {
            what,
            errno,
            message,
        },
    }
}

pub(super) fn unexpected(reply: &Reply) -> SpawnError {
    SpawnError::Request {
        what: "understanding the helper",
        errno: Errno::PROTO.raw_os_error(),
        message: format!("it answered {reply:?}, which is a bug of the helper"),
    }
}
