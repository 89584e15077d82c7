//! Owns the view that the rest of the host has of an environment and its processes. Does not know
//! where the environment is.

pub(crate) mod command;
pub(crate) mod identity;
mod limited;
pub(crate) mod private;
pub(crate) mod queued;
mod readiness;
pub(crate) mod remote_files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_helper::protocol::{Bytes, Id, MAX_READ, Reply, Request};
use rustix::io::Errno;
use tokio::sync::{Mutex, oneshot};

use crate::channel::{CLOSE_WITHIN, Channel, END_WITHIN, ExitWatch};
use crate::error::SpawnError;
use crate::limits::{EnvironmentLimits, HelperPlace};
use command::{Command, Exit, Stream, Usage};
use identity::EnvironmentId;
use persea_system::directory_handle::DirectoryHandle;
use private::PrivateDirectory;
use remote_files::RemoteFiles;

/// The largest part of a write that is sent in one request: 1 MiB, less than the limit of a frame.
const PIECE: usize = 1 << 20;

/// The place where the processes of one task at a time run. Clones refer to the same environment.
/// It is closed when the last clone and the last [`Child`] are dropped.
#[derive(Clone)]
pub struct Environment {
    inner: Arc<Inner>,
}

struct Inner {
    channel: Arc<Channel>,
    work_dir: String,
    /// The work directory as this machine sees it; none if it does not.
    work_here: Option<PathBuf>,
    private: Option<Arc<PrivateDirectory>>,
    /// Where the files of tasks are; none for this machine.
    remote_files: Option<RemoteFiles>,
    limits: EnvironmentLimits,
    id: EnvironmentId,
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
    pub(crate) fn new(
        channel: Arc<Channel>,
        work_dir: String,
        private: Option<Arc<PrivateDirectory>>,
    ) -> Environment {
        Environment {
            inner: Arc::new(Inner {
                channel,
                work_dir,
                work_here: None,
                private,
                remote_files: None,
                limits: EnvironmentLimits::new(HelperPlace::Elsewhere),
                id: EnvironmentId::default(),
            }),
        }
    }

    /// Starts a process and waits for its end. Dropping the future ends the process.
    ///
    /// # Errors
    /// The process cannot be started, one of its streams is a pipe, or the environment is closed.
    pub async fn run(&self, command: Command) -> Result<Exit, SpawnError> {
        if command.has_pipes() {
            return Err(SpawnError::Invalid(
                "a process that is run to its end can't have pipes; start it instead".to_owned(),
            ));
        }
        command.check()?;
        let channel = &self.inner.channel;
        let program = command.program.clone();
        let (id, mut receiver, _) = channel.start(self.start_of(command, true))?;
        let guard = ForgetOnDrop::new(channel, id);
        let reply = channel.reply(&mut receiver).await?;
        guard.disarm();
        match reply {
            Reply::Exited { exit, .. } => Ok(exit.into()),
            Reply::StartFailed { failure, .. } => Err(SpawnError::of_start(program, failure)),
            other => Err(unexpected(&other)),
        }
    }

    /// Starts a process.
    ///
    /// # Errors
    /// The process cannot be started, or the environment is closed.
    pub async fn start(&self, command: Command) -> Result<Child, SpawnError> {
        command.check()?;
        let channel = &self.inner.channel;
        let piped = [Stream::Stdout, Stream::Stderr, Stream::Report].map(|s| command.pipes(s));
        let has_pipes = command.has_pipes();
        let program = command.program.clone();
        let (id, mut receiver, exit) = channel.start(self.start_of(command, false))?;
        let guard = ForgetOnDrop::new(channel, id);
        match channel.reply(&mut receiver).await? {
            Reply::Started { pid, .. } => {
                guard.disarm();
                Ok(Child {
                    environment: self.clone(),
                    id,
                    pid: Some(pid),
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

    /// Sends a signal to every process of the environment, in any process group or session.
    pub async fn signal_all(&self, signal: i32) -> Result<(), SpawnError> {
        self.ask("sending a signal to all", |id| Request::SignalAll {
            id,
            only_for: None,
            signal,
        })
        .await
    }

    /// Stops every process of the environment that is not stopped already.
    pub async fn pause(&self) -> Result<(), SpawnError> {
        self.ask("pausing", |id| Request::Pause { id }).await
    }

    /// Continues the processes that [`Environment::pause`] has stopped.
    pub async fn resume(&self) -> Result<(), SpawnError> {
        self.ask("resuming", |id| Request::Resume { id }).await
    }

    /// Ends every process of the environment and empties the work directory. Returns the number of
    /// left-over processes. Sends no request if the last exit left neither a process nor a file.
    ///
    /// # Errors
    /// The clean-up failed: the environment must not be used for another task.
    pub async fn end_task(&self) -> Result<usize, SpawnError> {
        if self.inner.channel.is_clean() {
            return Ok(0);
        }
        self.end(None).await
    }

    /// Ends every process of the environment; with `only_for`, only if that queued child runs.
    pub(crate) async fn end(&self, only_for: Option<Id>) -> Result<usize, SpawnError> {
        self.inner.limits.lift_cpus();
        let channel = &self.inner.channel;
        let mut receiver = channel.request(|id| Request::EndTask { id, only_for })?;
        let reply = match tokio::time::timeout(END_WITHIN, channel.reply(&mut receiver)).await {
            Ok(reply) => reply,
            Err(_) => {
                channel.give_up();
                channel.reply(&mut receiver).await
            }
        };
        match reply? {
            Reply::TaskEnded { leftovers, .. } => Ok(leftovers as usize),
            other => Err(failure("ending the task", other)),
        }
    }

    /// Takes what the processes of the current task have used, as far as they have ended. Processes
    /// that were queued do not count. None if there were none.
    pub fn take_usage(&self) -> Option<Usage> {
        Usage::of(self.inner.channel.take_usage())
    }

    /// The path, in the environment, of the work directory, which is empty when a task begins.
    pub fn work_dir(&self) -> &str {
        &self.inner.work_dir
    }

    /// The private directory that the environment sees in place of `directory`, a directory of the
    /// host; see [`crate::Spawner::set_private_directory`]. It exists until the last clone of the
    /// environment is dropped, even if the environment is closed before.
    pub fn private_directory(&self, directory: &Path) -> Option<&DirectoryHandle> {
        let private = self.inner.private.as_ref()?;
        (private.shown == directory).then_some(&private.handle)
    }

    /// The path, on this machine, of the private directory that the environment sees in place of
    /// `directory`; none if it has none.
    pub fn private_path(&self, directory: &Path) -> Option<&Path> {
        let private = self.inner.private.as_ref()?;
        (private.shown == directory).then_some(&private.path)
    }

    /// Whether both are clones of the same environment.
    pub fn is_same(&self, other: &Environment) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether the environment can still be used.
    pub fn is_alive(&self) -> bool {
        self.inner.channel.is_alive()
    }

    /// Whether the environment was lost: its helper has died, or cannot be reached any more.
    pub fn is_lost(&self) -> bool {
        self.inner.channel.is_lost()
    }

    /// Waits until the environment was closed or its helper has died, and all processes have ended.
    pub async fn closed(&self) {
        self.inner.channel.closed().await;
    }

    /// Closes the environment: ends every process, removes the work directory, and waits for both.
    pub async fn close(&self) {
        let channel = &self.inner.channel;
        channel.close();
        // A helper that one of its processes has stopped (SIGSTOP) does not see the end of input.
        if tokio::time::timeout(CLOSE_WITHIN, self.closed())
            .await
            .is_err()
        {
            channel.give_up();
            self.closed().await;
        }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.inner.channel
    }

    pub(crate) async fn ask(
        &self,
        what: &'static str,
        make: impl FnOnce(Id) -> Request,
    ) -> Result<(), SpawnError> {
        done(what, self.inner.channel.ask(make).await?)
    }
}

/// Makes the helper end a process when the future that started it is dropped.
pub(crate) struct ForgetOnDrop<'a> {
    channel: &'a Channel,
    child: Option<Id>,
}

impl<'a> ForgetOnDrop<'a> {
    pub(crate) fn new(channel: &'a Channel, child: Id) -> ForgetOnDrop<'a> {
        ForgetOnDrop {
            channel,
            child: Some(child),
        }
    }

    pub(crate) fn disarm(mut self) {
        self.child = None;
    }
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child {
            self.channel.send_unanswered(&Request::Forget { child });
        }
    }
}

/// The state of a read or write across dropped futures: the outstanding reply, and bytes that were
/// read but not returned yet.
#[derive(Default)]
struct Transfer {
    reply: Option<oneshot::Receiver<Reply>>,
    read: Vec<u8>,
}

/// A started process. Dropping this ends the process and its process group.
pub struct Child {
    environment: Environment,
    id: Id,
    pid: Option<u32>,
    exit: ExitWatch,
    has_pipes: bool,
    /// Standard output, standard error and report; none for a stream that is not a pipe.
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
    /// The process id, as seen in the environment; none where processes have none.
    pub fn id(&self) -> Option<u32> {
        self.pid
    }

    /// The state of reading from a stream; none for one that is not a pipe.
    fn transfer(&self, stream: Stream) -> Option<&Mutex<Transfer>> {
        let [stdout, stderr, report] = &self.reading;
        let transfer = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
            Stream::Report => report,
        };
        transfer.as_ref()
    }

    /// Waits until a pipe has data, and reads up to `max` bytes, at most 1 MiB. Returns no bytes at
    /// the end of the stream. Dropping the future loses no data: the next call returns it.
    ///
    /// # Errors
    /// The stream is not a pipe, or the environment is closed.
    pub async fn read(&self, stream: Stream, max: u32) -> Result<Vec<u8>, SpawnError> {
        let Some(transfer) = self.transfer(stream) else {
            return Err(SpawnError::Invalid(format!(
                "{stream:?} of the process cannot be read: it is not a pipe"
            )));
        };
        let max = max.clamp(1, MAX_READ);
        let mut transfer = transfer.lock().await;
        let Transfer { reply, read } = &mut *transfer;
        if read.is_empty() {
            let channel = &self.environment.inner.channel;
            let receiver = match reply {
                Some(receiver) => receiver,
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
            let answer = channel.reply(receiver).await;
            *reply = None;
            match answer? {
                Reply::Data { bytes, .. } => *read = bytes.0,
                other => return Err(failure("reading from a process", other)),
            }
        }
        let rest = read.split_off(read.len().min(max as usize));
        Ok(std::mem::replace(read, rest))
    }

    /// Writes to standard input, and waits until all bytes are in the pipe. Dropping the future may
    /// leave a part of them unwritten.
    ///
    /// # Errors
    /// The process has ended or closed its input, or the environment is closed.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), SpawnError> {
        let mut transfer = self.writing.lock().await;
        let channel = &self.environment.inner.channel;
        // A write whose future was dropped comes first. Its result has no receiver any more.
        if let Some(receiver) = &mut transfer.reply {
            let _ = channel.reply(receiver).await;
            transfer.reply = None;
        }
        for piece in bytes.chunks(PIECE) {
            let (child, bytes) = (self.id, Bytes(piece.to_vec()));
            let receiver =
                transfer
                    .reply
                    .insert(channel.request(|id| Request::Write { id, child, bytes })?);
            let answer = channel.reply(receiver).await;
            transfer.reply = None;
            done("writing to a process", answer?)?;
        }
        Ok(())
    }

    /// Closes standard input. Bytes that are still being written may be lost.
    pub async fn close_stdin(&self) -> Result<(), SpawnError> {
        let child = self.id;
        self.environment
            .ask("closing the input of a process", |id| Request::CloseStdin {
                id,
                child,
            })
            .await
    }

    /// Sends a signal to the process alone, not to its process group.
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

    /// Waits for the end of the process. Can be called again after the end.
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
                .send_unanswered(&Request::Forget { child });
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

pub(crate) fn unexpected(reply: &Reply) -> SpawnError {
    SpawnError::Request {
        what: "understanding the helper",
        errno: Errno::PROTO.raw_os_error(),
        message: format!("it answered {reply:?}, which is a bug of the helper"),
    }
}
