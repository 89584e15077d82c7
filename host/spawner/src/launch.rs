//! Owns the life of a helper that is a child process of the host: start, greeting, standard error,
//! end, and the removal of its work directory. Does not know where the helper runs, or what is
//! requested of it.

pub(crate) mod children;
pub(crate) mod last_words;
pub(crate) mod marker;
pub(crate) mod program;

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use persea_helper::protocol::{Bytes, Hello, Isolation};
use persea_helper::removal;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use crate::channel::doubt::{AskLost, Doubt};
use crate::channel::pipe::Pipe;
use crate::channel::{Channel, CleanUp, END_WITHIN};
use crate::environment::identity::EnvironmentId;
use crate::environment::private::PrivateDirectory;
use crate::lease::Lease;
use crate::limits::{HelperPlace, HostCgroups};
use crate::{Environment, SpawnError};
use last_words::LastWords;
use marker::MarkedLines;

/// The part of the set-up that follows the start of the helper, and without which it does not run.
pub(crate) type RemainingSetup = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Environment variables with their values.
pub(crate) type Variables = Vec<(Bytes, Bytes)>;

/// Returns the environment variables of the host.
pub(crate) fn own_variables() -> Variables {
    let bytes = |text: OsString| Bytes(text.into_vec());
    let all = std::env::vars_os();
    all.map(|(name, value)| (bytes(name), bytes(value)))
        .collect()
}

/// A helper to start.
pub(crate) struct Launch {
    /// The environment's name.
    pub(crate) name: Arc<str>,
    /// The work directory, as the helper sees it. On this machine it is removed after the helper's
    /// end.
    pub(crate) work: PathBuf,
    /// The environment variables of the processes; none for those with which the helper starts.
    pub(crate) variables: Option<Variables>,
    /// The isolation that the helper itself sets up.
    pub(crate) isolation: Isolation,
    /// The private directory of the environment.
    pub(crate) private: Option<Arc<PrivateDirectory>>,
    /// The cgroups in which tests with limits run; none for a helper that runs no tests.
    pub(crate) cgroups: Option<Arc<HostCgroups>>,
    /// What is different for a helper on another host; none for this machine.
    pub(crate) remote: Option<Remote>,
    /// Dropped after the helper's end, on a thread that may block.
    pub(crate) keep_alive: Box<dyn Send>,
}

/// What is different for a helper on another host.
pub(crate) struct Remote {
    /// The mark of the line behind which the helper's output begins: a login shell may print
    /// something before.
    pub(crate) marker: String,
    /// The helper's lease.
    pub(crate) lease: Arc<Lease>,
    /// The name of the host.
    pub(crate) host: Arc<str>,
    /// Asks whether the environment is being taken away; none where nobody does that.
    pub(crate) ask_lost: Option<AskLost>,
}

/// How long a login shell may take before it starts the helper: 30 s.
const MARKER_TIMEOUT: Duration = Duration::from_secs(30);

impl Launch {
    /// Makes an error of this launch from the step that failed and the error of the system.
    pub(crate) fn failed(
        &self,
        what: &'static str,
    ) -> impl FnOnce(io::Error) -> SpawnError + use<> {
        failed(&self.name, what)
    }

    /// Starts the helper by `start`, which gets the helper's ends of the channel, and exchanges the
    /// greetings.
    pub(crate) async fn bring_up(
        self,
        start: impl FnOnce(&PipeReader, &PipeWriter) -> io::Result<(Child, Option<RemainingSetup>)>,
    ) -> Result<Environment, SpawnError> {
        let failed = |what| failed(&self.name, what);
        let path = self.work.clone();
        let text = path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
            SpawnError::Invalid(format!(
                "the path of the directory for temporary files, {}, is not UTF-8: set TMPDIR to \
                 another directory",
                path.display()
            ))
        })?;
        // Two pipes and not a socket: with a socket, the host would be woken each time the helper
        // has read a request, only to learn that the socket is writable.
        let channel = failed("making its channel");
        let ((requests, to_helper), (from_helper, replies)) =
            match std::io::pipe().and_then(|first| Ok((first, std::io::pipe()?))) {
                Ok(pipes) => pipes,
                Err(e) => {
                    self.remove_work();
                    return Err(channel(e));
                }
            };
        let (mut child, rest) = match start(&requests, &replies) {
            Ok(started) => started,
            Err(e) => {
                self.remove_work();
                return Err(failed("running its program")(e));
            }
        };
        drop((requests, replies));
        let words = match self.remote {
            None => LastWords::default(),
            // A login shell and its banner may be noisy.
            Some(_) => LastWords::quiet(),
        };
        let stderr = child.stderr.take().map(OwnedFd::from);
        let name = Arc::clone(&self.name);
        let end = tokio::spawn(words.clone().keep(stderr, name));
        let place = match self.cgroups {
            Some(cgroups) => HelperPlace::OfHost(Pid::from_child(&child), cgroups),
            None => HelperPlace::Elsewhere,
        };
        let mut id = EnvironmentId::of_process(Pid::from_child(&child));
        if let Some(remote) = &self.remote {
            id.host = Some(remote.host.to_string());
            id.lease = Some(remote.lease.duration());
        }
        let work_here = path.clone();
        let hello = Hello {
            work_dir: Some(Bytes(path.as_os_str().as_bytes().to_vec())),
            variables: self.variables,
            isolation: self.isolation,
            lease: self.remote.as_ref().map(|it| it.lease.duration()),
        };
        let lease = self.remote.as_ref().map(|it| Arc::clone(&it.lease));
        let work = self.remote.is_none().then_some(path);
        let end = HelperEnd {
            child,
            end,
            words: words.clone(),
        };
        let clean_up: CleanUp = Box::pin(end.clear_up(work, lease, self.keep_alive));
        let reader = Pipe::new(from_helper.into());
        let writer = pipe::Sender::from_owned_fd(to_helper.into());
        let (reader, writer) = match (reader, writer) {
            (Ok(reader), Ok(writer)) => (reader, writer),
            (Err(e), _) | (_, Err(e)) => {
                tokio::spawn(clean_up);
                return Err(channel(e));
            }
        };
        let name = Arc::clone(&self.name);
        let (private, remote) = (self.private, self.remote);
        let ask = remote.as_ref().and_then(|it| it.ask_lost.clone());
        let doubt = ask.map(|ask| Doubt { ask, words });
        // A task of its own, so that the clean-up runs even if the caller's future is dropped.
        let opening = tokio::spawn(async move {
            let mut reader = reader;
            if let Some(remote) = &remote {
                let mut lines = MarkedLines::new(reader, &remote.marker);
                let found = tokio::time::timeout(MARKER_TIMEOUT, lines.next()).await;
                let found = found.unwrap_or_else(|_| Err(lines.silent()));
                match found.and_then(|_| lines.into_reader()) {
                    Ok(rest) => reader = rest,
                    Err(why) => {
                        drop(writer);
                        let end = clean_up.await;
                        let e = io::Error::other(format!("{why} ({end})"));
                        return Err(self::failed(&name, "running it through a login shell")(e));
                    }
                }
            }
            if let Some(rest) = rest
                && let Err(e) = rest.await
            {
                drop((reader, writer));
                let why = clean_up.await;
                let e = io::Error::new(e.kind(), format!("{e} ({why})"));
                return Err(self::failed(&name, "setting it up")(e));
            }
            let channel = Channel::open(name, reader, writer, hello, doubt, clean_up).await?;
            let Some(remote) = remote else {
                let environment = Environment::new(channel, text, private).identified(id);
                return Ok(environment.placed(place, work_here));
            };
            tokio::spawn(remote.lease.keep(Arc::clone(&channel)));
            Ok(Environment::new(channel, text, private).identified(id))
        });
        opening
            .await
            .unwrap_or(Err(SpawnError::Closed("the environment")))
    }

    /// Removes the work directory of a helper that was not started.
    fn remove_work(&self) {
        if self.remote.is_none() {
            let _ = removal::remove_tree(&self.work);
        }
    }
}

fn failed(name: &Arc<str>, what: &'static str) -> impl FnOnce(io::Error) -> SpawnError + use<> {
    let environment = Arc::clone(name);
    move |e: io::Error| SpawnError::HelperStart {
        environment,
        what,
        source: Arc::new(e),
    }
}

/// Creates a directory of mode 0700 in `root`. The caller removes it.
pub(crate) fn private_dir(root: &Path, prefix: &str) -> io::Result<PathBuf> {
    let made = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(root)?;
    // The umask applies to the mode at creation.
    std::fs::set_permissions(made.path(), PermissionsExt::from_mode(0o700))?;
    let path = made.path().canonicalize()?;
    let _ = made.keep();
    Ok(path)
}

/// A started helper, or the program through which it was started on another host.
struct HelperEnd {
    child: Child,
    /// Ends with the standard error of the child.
    end: JoinHandle<()>,
    words: LastWords,
}

impl HelperEnd {
    /// Waits for the helper to end, which it does once its channel is closed, and kills it after
    /// [`END_WITHIN`]. Then kills its orphans, and removes its work directory. Where the helper's
    /// end is not known, waits until its lease is over. Returns how the helper ended, for the error
    /// message.
    async fn clear_up(
        self,
        work: Option<PathBuf>,
        lease: Option<Arc<Lease>>,
        keep_alive: Box<dyn Send>,
    ) -> String {
        let Self {
            mut child,
            end,
            words,
        } = self;
        let pid = Pid::from_child(&child);
        // One of its processes may have stopped it (SIGSTOP); it would not notice the closed
        // channel.
        let _ = kill_process(pid, Signal::CONT);
        let ended = tokio::time::timeout(END_WITHIN, end).await;
        let was_killed = ended.is_err();
        if was_killed {
            // Cannot fail: the child has not been waited for.
            let _ = child.kill();
        }
        let blocking = tokio::task::spawn_blocking(move || {
            let status = child.wait();
            children::forget(pid);
            if !status.as_ref().is_ok_and(ExitStatus::success) {
                let orphans = children::kill_orphans();
                if orphans > 0 {
                    tracing::debug!("killed {orphans} orphans of a helper");
                }
            }
            if let Some(work) = work
                // Usually the helper has removed it already.
                && let Err(e) = removal::remove_tree(&work)
            {
                tracing::warn!("cannot remove the directory {}: {e}", work.display());
            }
            drop(keep_alive);
            status
        });
        let status = blocking.await;
        // The exit code of `ssh` or `srun` does not tell whether the helper has ended.
        if let Some(lease) = lease
            && !words.has_ended()
        {
            lease.over().await;
            return words.after("the connection was lost");
        }
        let reason = match status {
            Ok(Ok(_)) if was_killed => "it did not end by itself and was killed".to_owned(),
            Ok(Ok(status)) => match (status.code(), status.signal()) {
                (Some(0), _) => "its channel was closed".to_owned(),
                (Some(code), _) => format!("it ended with exit code {code}"),
                (None, signal) => format!("it was ended by signal {}", signal.unwrap_or_default()),
            },
            Ok(Err(e)) => format!("waiting for it failed: {e}"),
            Err(_) => "the host is ending".to_owned(),
        };
        words.after(reason)
    }
}
