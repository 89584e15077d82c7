//! Owns the allocation of a job: it is submitted, waited for, looked at after a loss, and
//! cancelled. Does not know what runs on its nodes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::pilot;
use super::programs::{self, MISSING};
use super::state::{AllocationState, Nodes};
use crate::SpawnError;
use crate::launch::children;
use crate::launch::last_words::LastWords;
use crate::remote::link::Setup;

/// How long the submission may take: 60 s.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between the first two looks at a waiting allocation. An idle cluster takes less than a
/// second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long an allocation may wait before the user is told: half a second.
const QUIET: Duration = Duration::from_millis(500);

/// The longest pause between two looks: 5 s. The controller serves many users.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long processes may take to end before an allocation counts as ended: 2 min.
const COMPLETING_TIMEOUT: Duration = Duration::from_secs(120);

/// How long an allocation may take to end by itself at the end of a job: 3 s. It is cancelled in
/// any case.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the cancellation may take: 15 s.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);

/// An allocation in the queue or on its nodes.
pub(super) struct Allocation {
    job: Arc<str>,
    /// The process that has submitted the job and cancels it.
    submitter: Submitter,
}

impl Allocation {
    /// Submits a job by these arguments of `sbatch`.
    ///
    /// # Errors
    /// Slurm refuses the job or cannot be reached, or the spawner is closed.
    pub(super) async fn submit(arguments: &[String], setup: &Setup) -> Result<Self, SpawnError> {
        let mut submitter = Submitter::start(arguments)
            .map_err(|error| SpawnError::Invalid(format!("cannot submit a job: {error}")))?;
        let line = tokio::select! {
            biased;
            () = setup.closed() => {
                submitter.end().await;
                return Err(SpawnError::Closed("the spawner"));
            }
            line = tokio::time::timeout(SUBMIT_TIMEOUT, submitter.line()) => line,
        };
        let job = match line {
            Ok(Some(line)) => line,
            Ok(None) => {
                let words = submitter.end().await;
                return Err(SpawnError::Invalid(if words.contains("not found") {
                    MISSING.to_owned()
                } else {
                    programs::explain_refusal(&words)
                }));
            }
            Err(_) => {
                submitter.end().await;
                return Err(SpawnError::Invalid(format!(
                    "`sbatch` has not answered for {} s: try `scontrol ping`, and ask who runs the \
                     cluster",
                    SUBMIT_TIMEOUT.as_secs()
                )));
            }
        };
        // The name of the cluster may follow.
        let job = job.split(';').next().unwrap_or(&job).trim().into();
        Ok(Self { job, submitter })
    }

    /// The number of the job.
    pub(super) fn job(&self) -> &Arc<str> {
        &self.job
    }

    /// Ends the job, and waits for that.
    pub(super) async fn end(self) {
        let ends_by_itself = async {
            loop {
                match programs::state_of(&self.job).await {
                    // The pilot has just been ended by its keeper.
                    AllocationState::Running(_) => {}
                    _ => return,
                }
                tokio::time::sleep(FIRST_PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(END_TIMEOUT, ends_by_itself).await;
        let words = self.submitter.end().await;
        if !words.is_empty() {
            tracing::debug!("the job {} was cancelled: {words}", self.job);
        }
    }
}

/// Waits until the nodes of a job can be used. `says` gets what the job waits for, each time that
/// it changes.
///
/// # Errors
/// The reason, for people: the allocation has ended.
pub(super) async fn running(job: &str, says: &watch::Sender<Arc<str>>) -> Result<Nodes, String> {
    let mut pause = FIRST_PAUSE;
    let mut completing = Duration::ZERO;
    let mut has_said = false;
    let began = Instant::now();
    loop {
        let state = programs::state_of(job).await;
        let waits = match state {
            AllocationState::Running(nodes) => {
                if has_said {
                    says.send_replace(format!("Slurm job {job} runs on {}", nodes.list).into());
                }
                return Ok(nodes);
            }
            AllocationState::Pending { reason } => {
                format!(
                    "Slurm job {job} is waiting for its nodes ({})",
                    plain(&reason)
                )
            }
            AllocationState::Requeued {
                reason,
                is_held: false,
            } => format!(
                "Slurm job {job} has lost its nodes, and is waiting for others ({})",
                plain(&reason)
            ),
            AllocationState::Requeued {
                reason,
                is_held: true,
            } => format!(
                "Slurm job {job} has lost its nodes and is held ({}): `scontrol release {job}`",
                plain(&reason)
            ),
            AllocationState::Configuring => {
                format!("Slurm job {job} is waiting until its nodes are ready")
            }
            AllocationState::Suspended => {
                format!("Slurm job {job} is suspended, for a job of higher priority")
            }
            AllocationState::Completing => {
                completing += pause;
                if completing > COMPLETING_TIMEOUT {
                    return Err(format!("Slurm job {job} does not end"));
                }
                String::new()
            }
            AllocationState::Unanswered { why } => {
                format!("Slurm does not answer about job {job} ({why})")
            }
            AllocationState::Ended(cause) => return Err(format!("Slurm job {job}: {cause}")),
            AllocationState::Forgotten => {
                return Err(format!("Slurm job {job}: Slurm does not know it any more"));
            }
        };
        // On an idle cluster nobody has to know.
        if began.elapsed() > QUIET && !waits.is_empty() {
            has_said = true;
            says.send_if_modified(|said| {
                let is_new = **said != *waits;
                if is_new {
                    *said = waits.into();
                }
                is_new
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a reason of Slurm means, as far as its word does not tell it.
fn plain(reason: &str) -> String {
    let about = match reason {
        "None" => "not looked at yet",
        "Resources" => "Resources: other jobs use the nodes",
        "Priority" => "Priority: other jobs come first",
        "BeginTime" => "BeginTime: it has to wait for a while",
        "PartitionNodeLimit" => {
            "PartitionNodeLimit: the partition gives fewer nodes, correct `spawner.slurm.nodes`"
        }
        "PartitionTimeLimit" => {
            "PartitionTimeLimit: the partition gives less time, correct `spawner.slurm.time`"
        }
        "BadConstraints" => {
            "BadConstraints: no node is so, correct `spawner.slurm.slots` or `spawner.slurm.extra`"
        }
        other => other,
    };
    about.to_owned()
}

/// The shell that has submitted a job, and cancels the job when its input ends.
struct Submitter {
    child: Child,
    lines: Option<tokio::io::Lines<BufReader<pipe::Receiver>>>,
    words: LastWords,
    /// Ends with the standard error of the shell.
    end: JoinHandle<()>,
}

impl Submitter {
    fn start(arguments: &[String]) -> io::Result<Self> {
        let mut shell = programs::command("/bin/sh");
        shell
            .args(["-c", pilot::SUBMIT, "persea-submit"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = children::start(&mut shell, &[])?;
        let words = LastWords::quiet();
        let stderr = child.stderr.take().map(OwnedFd::from);
        let end = tokio::spawn(words.clone().keep(stderr, "sbatch".into()));
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stdout = stdout.map(pipe::Receiver::from_owned_fd).transpose()?;
        Ok(Self {
            child,
            lines: stdout.map(|stdout| BufReader::new(stdout).lines()),
            words,
            end,
        })
    }

    /// The next line of the shell; none if it has ended.
    async fn line(&mut self) -> Option<String> {
        self.lines.as_mut()?.next_line().await.ok().flatten()
    }

    /// Ends the shell, which cancels the job. Returns what it has written to its standard error.
    async fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let pid = Pid::from_child(&self.child);
        if tokio::time::timeout(CANCEL_TIMEOUT, &mut self.end)
            .await
            .is_err()
        {
            // Cannot hit another group: the shell has not been waited for.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = tokio::time::timeout(CANCEL_TIMEOUT, &mut self.end).await;
        }
        let mut child = self.child;
        let _ = tokio::task::spawn_blocking(move || {
            let _ = child.wait();
            children::forget(pid);
        })
        .await;
        self.words.text()
    }
}
