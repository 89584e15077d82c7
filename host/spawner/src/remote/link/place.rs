//! Owns where a host has the files of a job: at the same paths as this machine, or in a directory
//! of the connection to which the project was sent. Does not know what is sent.

use std::sync::Arc;

use super::Connection;
use super::greeting::{Ungreeted, next};
use crate::SpawnError;
use crate::project::Project;
use crate::project::send::{Destination, SendError, Sent, Transfer, send};
use crate::remote::bootstrap;
use crate::remote::proof::Proof;

/// How often a project is sent that changes meanwhile.
const ATTEMPTS: usize = 3;

/// Where a host has the files of a job.
#[derive(Debug)]
pub(in crate::remote) enum FilesPlace {
    /// Where this machine has them.
    Shared,
    /// In directories of the connection.
    Sent {
        /// The directory of the project.
        project: String,
        /// The directory that all tests share.
        common: String,
        /// What was sent.
        sent: Sent,
    },
}

/// Why the files of a job are not on a host.
enum PlaceError {
    /// The receiver did not answer.
    Ungreeted(Ungreeted),
    /// The project was not sent.
    Send(SendError),
}

impl From<Ungreeted> for PlaceError {
    fn from(error: Ungreeted) -> Self {
        Self::Ungreeted(error)
    }
}

/// Finds out where the host has the files of the job, and sends the project if it has none.
pub(super) async fn find(
    connection: &Connection,
    project: &Arc<Project>,
    proof: &Arc<Proof>,
) -> Result<FilesPlace, SpawnError> {
    if project.sharing == persea_config::Sharing::Shared {
        // The helper of each environment checks it.
        return Ok(FilesPlace::Shared);
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        // What an attempt before has left is none of this one's.
        let directory = format!("{}/project.{attempts}", connection.directory);
        let common = format!("{}/common", connection.directory);
        let destination = Destination {
            directory: directory.clone(),
            others: vec![common.clone()],
        };
        match transfer(connection, project, proof, destination).await {
            Ok(Transfer::Shared) => return Ok(FilesPlace::Shared),
            Ok(Transfer::Sent(sent)) => {
                return Ok(FilesPlace::Sent {
                    project: directory,
                    common,
                    sent,
                });
            }
            Err((PlaceError::Send(SendError::Changed(_)), _)) if attempts < ATTEMPTS => {}
            Err((error, words)) => return Err(explain(connection, error, &words)),
        }
    }
}

/// Runs the receiver and sends it the project. The error comes with what the route's program has
/// written to its standard error.
async fn transfer(
    connection: &Connection,
    project: &Arc<Project>,
    proof: &Arc<Proof>,
    destination: Destination,
) -> Result<Transfer, (PlaceError, String)> {
    let system = |error| (PlaceError::Ungreeted(Ungreeted::Io(error)), String::new());
    let random = bootstrap::random().map_err(system)?;
    let mut receiver = connection.start_receiver(&random).map_err(system)?;
    let (setup, mut ended) = (Arc::clone(&connection.setup), connection.ended.clone());
    let (project, proof) = (Arc::clone(project), Arc::clone(proof));
    // A task of its own, so that the program is ended even if the caller's future is dropped.
    let sending = tokio::spawn(async move {
        let sending = async {
            let (to, mut lines) = receiver.streams(&bootstrap::marker(&random))?;
            next(&mut lines).await.map_err(Ungreeted::from)?;
            let from = lines.into_reader().map_err(Ungreeted::from)?;
            let describe = || proof.describe();
            let sent = send(&project, &destination, describe, (from, to)).await;
            sent.map_err(PlaceError::Send)
        };
        let lost = async {
            // Fails if the connection is gone.
            let _ = ended.wait_for(|it| *it).await;
        };
        let sent = tokio::select! {
            biased;
            () = setup.closed() => Err(PlaceError::Ungreeted(Ungreeted::Closing)),
            sent = sending => sent,
            () = lost => {
                let why = std::io::ErrorKind::BrokenPipe.into();
                Err(PlaceError::Send(SendError::Lost(why)))
            }
        };
        match sent {
            Ok(transfer) => {
                receiver.end().await;
                Ok(transfer)
            }
            Err(error) => Err((error, receiver.kill().await)),
        }
    });
    sending
        .await
        .unwrap_or_else(|_| Err((PlaceError::Ungreeted(Ungreeted::Closing), String::new())))
}

fn explain(connection: &Connection, error: PlaceError, words: &str) -> SpawnError {
    let host = Arc::clone(&connection.host);
    let reason = match error {
        PlaceError::Ungreeted(why) => {
            return why.explain(&*connection.route, &host, words);
        }
        PlaceError::Send(SendError::Project(error)) => return error,
        PlaceError::Send(error @ SendError::Refused(_)) => format!(
            "{error}; make room in its directory for temporary files, set TMPDIR there to another \
             one, or leave out what tests do not need with the setting `files.exclude`"
        ),
        PlaceError::Send(error @ SendError::Lost(_)) => match words {
            "" => error.to_string(),
            words => format!("{error} ({words})"),
        },
        PlaceError::Send(error @ SendError::Changed(_)) => {
            format!("{error}, {ATTEMPTS} times; leave it out with the setting `files.exclude`")
        }
        PlaceError::Send(error @ SendError::Unexpected(_)) => error.to_string(),
    };
    SpawnError::Host {
        host,
        reason: reason.into(),
    }
}
