//! Owns the greeting of a new connection: the script on the other host says what it is, gets the
//! helper, and says where that is. Any other answer becomes an error for people.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

use super::Route;
use crate::SpawnError;
use crate::channel::pipe::Pipe;
use crate::launch::marker::{MarkedLines, NoLine};
use crate::remote::bootstrap;

/// How long a connection may take until a shell runs, and until it has received the helper: 45 s
/// each.
const STEP_TIMEOUT: Duration = Duration::from_secs(45);

/// Why a program on the other side did not answer.
pub(super) enum Ungreeted {
    /// The spawner is being closed.
    Closing,
    /// The system has failed.
    Io(io::Error),
    /// What came was not what the script should have written.
    Line(NoLine),
    /// The script could not do its part.
    Refused(String),
}

impl From<NoLine> for Ungreeted {
    fn from(error: NoLine) -> Self {
        Self::Line(error)
    }
}

impl Ungreeted {
    pub(super) fn explain(self, route: &dyn Route, host: &Arc<str>, words: &str) -> SpawnError {
        let reason = match self {
            Self::Closing => return SpawnError::Closed("the spawner"),
            Self::Line(line) => route.explain(words, &line.to_string()),
            Self::Io(error) if words.is_empty() => error.to_string(),
            Self::Io(error) => route.explain(words, &error.to_string()),
            Self::Refused(reason) => reason,
        };
        SpawnError::Host {
            host: Arc::clone(host),
            reason: reason.into(),
        }
    }
}

/// Sends the helper to the other host, and returns its directory there.
pub(super) async fn greet(
    to: &mut pipe::Sender,
    lines: &mut MarkedLines<Pipe>,
    helper: &[u8],
) -> Result<String, Ungreeted> {
    let line = next(lines).await?;
    let Some(machine) = line.strip_prefix("hello ") else {
        return Err(refusal(&line, lines));
    };
    let (kernel, architecture) = machine.split_once(' ').unwrap_or((machine, ""));
    if kernel != "Linux" || architecture != std::env::consts::ARCH {
        return Err(Ungreeted::Refused(format!(
            "it is a machine of another kind, {kernel} on {architecture}: tests run on Linux on \
             {}, as this host is",
            std::env::consts::ARCH
        )));
    }
    // An error has a reason, which the script writes.
    let _ = to.write_all(helper).await;
    let line = next(lines).await?;
    match line.strip_prefix("ready ") {
        Some(directory) if bootstrap::is_plain(directory) => Ok(directory.to_owned()),
        Some(directory) => Err(Ungreeted::Refused(format!(
            "the path of its directory for temporary files has special characters, {directory}: \
             set TMPDIR there"
        ))),
        None => Err(refusal(&line, lines)),
    }
}

/// Waits for the next line of the script, as long as one step may take.
pub(super) async fn next(lines: &mut MarkedLines<Pipe>) -> Result<String, NoLine> {
    let line = tokio::time::timeout(STEP_TIMEOUT, lines.next()).await;
    line.unwrap_or_else(|_| Err(lines.silent()))
}

/// The error for a line with which the script ends early.
fn refusal(line: &str, lines: &MarkedLines<Pipe>) -> Ungreeted {
    let Some(failed) = line.strip_prefix("fail ") else {
        return Ungreeted::Line(lines.unexpected(line));
    };
    let (step, why) = failed.split_once(' ').unwrap_or((failed, ""));
    Ungreeted::Refused(match step {
        "directory" => format!(
            "it has no directory for temporary files: {why}; set TMPDIR there to one that exists \
             and that you may write to"
        ),
        "write" => format!(
            "its directory for temporary files cannot take the helper, is the disk full? {why}"
        ),
        "execute" => format!(
            "nothing can be executed in its directory for temporary files: {why}; set TMPDIR there \
             to a directory on a file system without the option `noexec`"
        ),
        other => format!("{other}: {why}"),
    })
}
