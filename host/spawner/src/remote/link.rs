//! Owns one connection to a host: it is made, kept, made again after a loss, and given up if the
//! host stays away. Does not know which slots use it.

mod greeting;
pub(super) mod place;
mod route_process;

use std::io::{self, PipeReader, PipeWriter};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Notify, OnceCell, watch};

use super::bootstrap;
use super::proof::Proof;
use crate::SpawnError;
use crate::channel::doubt::AskLost;
use crate::channel::pipe::Pipe;
use crate::launch::children;
use crate::lease;
use crate::project::Project;
use greeting::{Ungreeted, greet};
use place::FilesPlace;
use route_process::RouteProcess;

/// The pauses between attempts to connect again. The host is given up after the last one.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];

/// The way to one host: the programs of this machine that run commands on it.
pub(crate) trait Route: Send + Sync {
    /// The name of the program, for messages.
    fn program(&self) -> &'static str;

    /// The program that runs a script on the host for as long as the connection is kept. `id` is
    /// the connection's own. Standard input and output are those of the script.
    ///
    /// # Errors
    /// Files that the program needs cannot be made.
    fn keeper(&self, id: &str, script: &str) -> Result<Command, SpawnError>;

    /// The program that runs another script on the host, while the connection is kept.
    fn guest(&self, id: &str, script: &str) -> Command;

    /// Says why a connection was not made, and what to do about it. `words` is what the program has
    /// written to its standard error, `output` what came instead of the expected lines.
    fn explain(&self, words: &str, output: &str) -> String;

    /// How to find out whether somebody takes the host away; none where nobody does that.
    fn ask_lost(&self) -> Option<AskLost> {
        None
    }

    /// The reason if the program is missing on this machine, with what to install.
    fn missing(&self) -> &'static str;
}

/// What all connections share.
pub(crate) struct Setup {
    /// The helper's program.
    pub(crate) helper: &'static [u8],
    /// The lease of helpers.
    pub(crate) lease: Duration,
    /// Whether the spawner is being closed.
    is_closing: watch::Receiver<bool>,
}

impl Setup {
    pub(super) fn new(
        helper: &'static [u8],
        lease: Duration,
        is_closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            helper,
            lease,
            is_closing,
        }
    }

    /// Whether the spawner is closed, or being closed.
    pub(crate) fn is_closed(&self) -> bool {
        *self.is_closing.borrow()
    }

    /// Waits until the spawner is closed.
    pub(crate) async fn closed(&self) {
        // Fails if the spawner was dropped.
        let _ = self.is_closing.clone().wait_for(|it| *it).await;
    }
}

/// A connection to a host, which may be lost and made again.
pub(crate) struct Link {
    host: Arc<str>,
    route: Arc<dyn Route>,
    setup: Arc<Setup>,
    state: Mutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    connection: Option<Arc<Connection>>,
    /// Why the host was given up.
    given_up: Option<Arc<str>>,
}

impl Link {
    pub(crate) fn new(host: Arc<str>, route: Arc<dyn Route>, setup: Arc<Setup>) -> Self {
        Self {
            host,
            route,
            setup,
            state: Mutex::default(),
        }
    }

    /// How to find out whether somebody takes the host away.
    pub(crate) fn ask_lost(&self) -> Option<AskLost> {
        self.route.ask_lost()
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// An error of this host.
    pub(crate) fn failure(&self, reason: &str) -> SpawnError {
        SpawnError::Host {
            host: Arc::clone(&self.host),
            reason: reason.into(),
        }
    }

    /// Returns the connection, and makes it where there is none.
    pub(super) async fn connected(&self) -> Result<Arc<Connection>, SpawnError> {
        let mut state = self.state.lock().await;
        if let Some(why) = &state.given_up {
            return Err(self.failure(why));
        }
        if let Some(connection) = &state.connection
            && connection.is_alive()
        {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        // A task of its own, so that the program is ended even if the caller's future is dropped.
        let opening = Connection::open(
            Arc::clone(&self.setup),
            Arc::clone(&self.route),
            Arc::clone(&self.host),
        );
        let opened = tokio::spawn(opening).await;
        let connection = opened.unwrap_or(Err(SpawnError::Closed("the connection")))?;
        let connection = Arc::new(connection);
        state.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Connects again, if need be after some pauses.
    ///
    /// # Errors
    /// The host stays away, and is given up.
    pub(crate) async fn recover(&self) -> Result<(), SpawnError> {
        let mut last = None;
        for pause in PAUSES {
            tokio::select! {
                () = self.setup.closed() => return Err(SpawnError::Closed("the spawner")),
                () = tokio::time::sleep(pause) => {}
            }
            match self.connected().await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or(SpawnError::Closed("the connection"));
        let why = match &error {
            SpawnError::Host { reason, .. } => Arc::clone(reason),
            other => other.to_string().into(),
        };
        self.state.lock().await.given_up.get_or_insert(why);
        Err(error)
    }

    /// Takes back that the host was given up.
    pub(crate) async fn try_again(&self) {
        self.state.lock().await.given_up = None;
    }

    /// Closes the connection, and waits for its end.
    pub(crate) async fn close(&self) {
        let connection = self.state.lock().await.connection.take();
        if let Some(connection) = connection {
            connection.close().await;
        }
    }
}

/// An open connection, with the helper's program on the other side.
pub(super) struct Connection {
    host: Arc<str>,
    route: Arc<dyn Route>,
    setup: Arc<Setup>,
    id: String,
    /// The directory of the helper on the other host.
    directory: String,
    /// Where the host has the files of the job, once that is known.
    files: OnceCell<FilesPlace>,
    closing: Arc<Notify>,
    ended: watch::Receiver<bool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closing.notify_one();
    }
}

impl Connection {
    async fn open(
        setup: Arc<Setup>,
        route: Arc<dyn Route>,
        host: Arc<str>,
    ) -> Result<Connection, SpawnError> {
        let failed = |error: &io::Error| SpawnError::Host {
            host: Arc::clone(&host),
            reason: match error.kind() {
                io::ErrorKind::NotFound => route.missing().into(),
                _ => format!("cannot start `{}`: {error}", route.program()).into(),
            },
        };
        let id = bootstrap::random().map_err(|error| failed(&error))?;
        let script = bootstrap::keeper(&id, setup.helper.len(), setup.lease);
        let mut command = route.keeper(&id, &script)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = children::start(&mut command, &[]).map_err(|error| failed(&error))?;
        let mut master = RouteProcess::new(child, format!("{}/{host}", route.program()));
        let greeting = async {
            let (mut to, mut lines) = master.streams(&bootstrap::marker(&id))?;
            let directory = greet(&mut to, &mut lines, setup.helper).await?;
            Ok(((to, lines.into_reader()?), directory))
        };
        let greeted = tokio::select! {
            () = setup.closed() => Err(Ungreeted::Closing),
            greeted = greeting => greeted,
        };
        let (streams, directory) = match greeted {
            Ok(greeted) => greeted,
            Err(why) => {
                let words = master.end().await;
                return Err(why.explain(&*route, &host, &words));
            }
        };
        let closing = Arc::new(Notify::new());
        let (has_ended, ended) = watch::channel(false);
        let keeping = keep(
            master,
            streams,
            setup.lease,
            Arc::clone(&closing),
            has_ended,
        );
        tokio::spawn(keeping);
        Ok(Connection {
            host,
            route,
            setup,
            id,
            directory,
            files: OnceCell::new(),
            closing,
            ended,
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// The helper's directory on the other host.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Returns where the host has the files of the job. The first call finds that out, and sends
    /// the project where they are not shared.
    pub(super) async fn files(
        &self,
        project: &Arc<Project>,
        proof: &Arc<Proof>,
    ) -> Result<&FilesPlace, SpawnError> {
        let find = || place::find(self, project, proof);
        self.files.get_or_try_init(find).await
    }

    /// Starts the receiver of a project.
    fn start_receiver(&self, random: &str) -> io::Result<RouteProcess> {
        let script = bootstrap::project(random, &self.directory, self.setup.lease);
        let mut command = self.route.guest(&self.id, &script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = children::start(&mut command, &[])?;
        let name = format!("{}/{}", self.route.program(), self.host);
        Ok(RouteProcess::new(child, name))
    }

    /// Starts a helper, whose output begins behind the line with the marker.
    pub(super) fn start_helper(
        &self,
        random: &str,
        requests: &PipeReader,
        replies: &PipeWriter,
    ) -> io::Result<Child> {
        let script = bootstrap::helper(random, &self.directory);
        let mut command = self.route.guest(&self.id, &script);
        command
            .stdin(requests.try_clone()?)
            .stdout(replies.try_clone()?);
        children::start(&mut command, &[])
    }

    async fn close(&self) {
        self.closing.notify_one();
        let _ = self.ended.clone().wait_for(|it| *it).await;
    }
}

/// Keeps a connection until it is closed or lost: renews the lease of the helper's directory, and
/// with that notices when the other host does not answer.
async fn keep(
    master: RouteProcess,
    (mut to, mut from): (pipe::Sender, Pipe),
    duration: Duration,
    closing: Arc<Notify>,
    has_ended: watch::Sender<bool>,
) {
    let mut buffer = [0; 64];
    let mut has_asked = false;
    let is_lost = loop {
        let pause = match has_asked {
            false => lease::interval(duration),
            true => lease::answer_within(duration) + lease::PATIENCE,
        };
        tokio::select! {
            biased;
            () = closing.notified() => break false,
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break true,
                Ok(_) => has_asked = false,
            },
            () = tokio::time::sleep(pause) => {
                if has_asked || to.write_all(b"\n").await.is_err() {
                    break true;
                }
                has_asked = true;
            }
        }
    };
    drop((to, from));
    let words = match is_lost {
        // Those that use the connection end with it. A process that waits for a network that is cut
        // would take long to notice.
        true => master.kill().await,
        false => master.end().await,
    };
    if !words.is_empty() {
        tracing::debug!("the connection has ended: {words}");
    }
    has_ended.send_replace(true);
}
