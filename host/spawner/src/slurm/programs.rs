//! Owns the programs of Slurm on this machine: how they are called, for how long they may take, and
//! what their errors mean. Does not know what an allocation is for.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use persea_config::{Config, settings};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::pilot;
use super::state::{self, AllocationState};
use crate::SpawnError;
use crate::channel::doubt::AskLost;
use crate::launch::children;
use crate::owner::Owner;
use crate::remote::link::Route;

/// How long a question to the controller may take: 20 s. The programs themselves try for about 10 s
/// to reach a controller that is being restarted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the question may take whether a test was ended by Slurm: 1 s. The lease of the helper
/// is not renewed meanwhile.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(1);

/// The error of a machine without the programs.
pub(super) const MISSING: &str = "the programs of Slurm are missing: run Persea on a machine from \
                                  which you submit jobs with `sbatch`, such as a login node of the \
                                  cluster (Debian: `apt-get install slurm-client`)";

/// The error of a machine that belongs to no cluster.
const NO_CLUSTER: &str = "this machine belongs to no cluster: run Persea where `sinfo` lists the \
                          nodes, or set SLURM_CONF to the cluster's slurm.conf";

/// What is asked of Slurm for a job.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    account: Option<String>,
    partition: Option<String>,
    time: Option<Duration>,
    /// Further arguments for `sbatch`.
    extra: Vec<String>,
}

impl Wishes {
    pub(super) fn new(config: &Config) -> Self {
        let text = |key| {
            let text: Option<&str> = config.get(key);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self {
            account: text(settings::SPAWNER_SLURM_ACCOUNT),
            partition: text(settings::SPAWNER_SLURM_PARTITION),
            time: config.get(settings::SPAWNER_SLURM_TIME),
            extra: config.get(settings::SPAWNER_SLURM_EXTRA),
        }
    }

    /// The arguments of `sbatch` for this number of nodes, with this number of tests at once on
    /// each.
    pub(super) fn arguments(&self, nodes: usize, slots: usize, comment: &str) -> Vec<String> {
        let mut arguments = vec![
            format!("--job-name={}", pilot::NAME),
            format!("--comment={comment}"),
            format!("--nodes={nodes}"),
            format!("--ntasks-per-node={slots}"),
            "--output=/dev/null".to_owned(),
        ];
        let mut add = |name: &str, value: &Option<String>| {
            arguments.extend(value.iter().map(|value| format!("--{name}={value}")));
        };
        add("account", &self.account);
        add("partition", &self.partition);
        let time = self.time.map(|time| {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            format!("{}:{:02}", seconds / 60, seconds % 60)
        });
        add("time", &time);
        arguments.extend(self.extra.iter().cloned());
        // After the user's, because the spawner relies on them.
        arguments.extend(["--parsable", "--requeue", "--no-kill"].map(str::to_owned));
        arguments.push(format!("--wrap={}", pilot::pilot()));
        arguments
    }
}

/// A program of Slurm. The variables by which an outer job or a habit of the user would change what
/// the program does are removed: the tests of a job in a job are steps of the inner one.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_input = ["SLURM_", "SRUN_", "SLURMD_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if is_input && text != "SLURM_CONF" && text != "SLURM_CLUSTERS" {
            command.env_remove(name);
        }
    }
    // A signal of the terminal is for the host, which ends its programs in order.
    command.process_group(0).stderr(Stdio::piped());
    command
}

/// Kills a program when it is dropped, if the program still runs.
struct KillOnDrop(rustix::fd::OwnedFd);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Fails if the program has ended.
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

/// Runs a program to its end. None if the program takes too long; it is killed then, and also if
/// the future is dropped.
async fn output(mut command: Command, within: Duration) -> io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = children::start(&mut command, &[])?;
    let pid = Pid::from_child(&child);
    let guard = pidfd_open(pid, PidfdFlags::empty()).map(KillOnDrop);
    let mut waiting = tokio::task::spawn_blocking(move || {
        let output = child.wait_with_output();
        children::forget(pid);
        output
    });
    let ended = tokio::time::timeout(within, &mut waiting).await;
    drop(guard);
    match ended {
        Ok(joined) => joined
            .unwrap_or(Err(io::ErrorKind::Interrupted.into()))
            .map(Some),
        Err(_) => {
            let _ = waiting.await;
            Ok(None)
        }
    }
}

/// Runs a program, and returns what it writes.
///
/// # Errors
/// The reason, for people: what the program has written to its standard error, or that it hangs.
pub(super) async fn ask(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut asked = command(program);
    asked.args(arguments);
    match output(asked, ANSWER_TIMEOUT).await {
        Ok(Some(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Some(output)) => {
            let words = String::from_utf8_lossy(&output.stderr);
            let words: Vec<&str> = words.lines().map(str::trim).collect();
            match words.is_empty() {
                true => Err(format!("`{program}` has failed: {}", output.status)),
                false if words.iter().any(|line| has_no_cluster(line)) => {
                    Err(NO_CLUSTER.to_owned())
                }
                false => Err(words.join("; ")),
            }
        }
        Ok(None) => Err(format!(
            "`{program}` has not answered for {} s",
            ANSWER_TIMEOUT.as_secs()
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MISSING.to_owned()),
        Err(error) => Err(format!("cannot start `{program}`: {error}")),
    }
}

/// The state of a job.
pub(super) async fn state_of(job: &str) -> AllocationState {
    match ask("scontrol", &["--oneliner", "show", "job", job]).await {
        Ok(answer) => state::parse(&answer),
        Err(message) => state::parse_error(&message),
    }
}

/// The names of the nodes in a list, in the order of the list.
pub(super) async fn nodes_in(list: &str) -> Result<Vec<Arc<str>>, String> {
    let names = ask("scontrol", &["show", "hostnames", list]).await?;
    Ok(names.split_ascii_whitespace().map(Arc::from).collect())
}

/// Cancels the jobs that killed hosts of this machine have left, and returns their number. Usually
/// such a job ends by itself.
///
/// # Errors
/// The reason, for people: a job cannot be cancelled.
pub(super) async fn cancel_abandoned(owner: &Owner) -> Result<usize, String> {
    let name = format!("--name={}", pilot::NAME);
    let jobs = ask("squeue", &["--me", "--noheader", &name, "--format=%i %k"]).await;
    // Where there is no cluster, nothing was left.
    let jobs = jobs.unwrap_or_default();
    let mut cancelled = 0;
    for (job, comment) in jobs.lines().filter_map(|line| line.trim().split_once(' ')) {
        if owner.has_abandoned_line(comment.trim()) {
            ask("scancel", &["--quiet", job]).await?;
            cancelled += 1;
        }
    }
    Ok(cancelled)
}

/// Whether a program of Slurm has found no configuration.
fn has_no_cluster(words: &str) -> bool {
    words.contains("fetch config") || words.contains("configuration source")
}

/// What to do about an error of `sbatch`.
pub(super) fn explain_refusal(words: &str) -> String {
    if has_no_cluster(words) {
        return NO_CLUSTER.to_owned();
    }
    let has = |text: &str| words.contains(text);
    let help = if has("partition") && has("nvalid") && !has("account") {
        "`sinfo` lists the partitions: set one of them in `spawner.slurm.partition`"
    } else if has("account") {
        "set an account of yours in `spawner.slurm.account`, and a partition that it may use"
    } else if has("node configuration") || has("More processors") || has("CPU count") {
        "no node of the partition is as large: correct `spawner.slurm.nodes`, \
         `spawner.slurm.slots` or `spawner.slurm.extra`; `sinfo` lists the nodes"
    } else if has("time limit") {
        "correct `spawner.slurm.time`: `sinfo` shows the limit of the partition"
    } else if has("contact") || has("onnect") {
        "the controller does not answer: try `scontrol ping`, and ask who runs the cluster"
    } else {
        "try the same with `sbatch`, and correct `spawner.slurm.extra`"
    };
    format!("Slurm refuses the job: {words}; {help}")
}

/// The way to a node of an allocation.
pub(super) struct NodeRoute {
    pub(super) job: Arc<str>,
    pub(super) node: Arc<str>,
    /// How often the job was requeued before it got the node.
    pub(super) restarts: u32,
    /// Whether the job's pilot is on this node.
    pub(super) holds_pilot: bool,
}

impl NodeRoute {
    /// A step of the job. Without `--overlap` the step would wait for the processors of other
    /// steps. With it, all steps of a node share all processors of the allocation there.
    ///
    /// With `--unbuffered` the bytes of a step's output pass unchanged and at once; without, Slurm
    /// waits for the end of each line (22.05).
    fn step(&self, script: &str) -> Command {
        let mut srun = command("srun");
        srun.arg(format!("--jobid={}", self.job))
            .arg(format!("--nodelist={}", self.node))
            .args(["--nodes=1", "--ntasks=1", "--overlap", "--unbuffered"])
            .args(["--quiet", "--mpi=none", "--input=all", "--output=all"])
            .args(["--error=all", "/bin/sh", "-c", script]);
        srun
    }
}

impl Route for NodeRoute {
    fn program(&self) -> &'static str {
        "srun"
    }

    fn keeper(&self, _id: &str, script: &str) -> Result<Command, SpawnError> {
        Ok(match self.holds_pilot {
            true => self.step(&pilot::holding(&self.job, self.restarts, script)),
            false => self.step(script),
        })
    }

    fn guest(&self, _id: &str, script: &str) -> Command {
        self.step(script)
    }

    fn explain(&self, words: &str, output: &str) -> String {
        match words.is_empty() {
            true => format!("a step of job {} did not start there: {output}", self.job),
            false => format!(
                "a step of job {} did not start there: {words}; {output}",
                self.job
            ),
        }
    }

    fn ask_lost(&self) -> Option<AskLost> {
        let (job, restarts) = (Arc::clone(&self.job), self.restarts);
        Some(Arc::new(move || {
            let job = Arc::clone(&job);
            let asked: Pin<Box<dyn Future<Output = bool> + Send>> = Box::pin(async move {
                let state = tokio::time::timeout(DOUBT_TIMEOUT, state_of(&job)).await;
                match state {
                    Ok(AllocationState::Running(nodes)) => nodes.restarts != restarts,
                    // A controller that does not answer takes nothing away.
                    Ok(AllocationState::Suspended | AllocationState::Unanswered { .. })
                    | Err(_) => false,
                    Ok(
                        AllocationState::Pending { .. }
                        | AllocationState::Requeued { .. }
                        | AllocationState::Configuring
                        | AllocationState::Completing
                        | AllocationState::Ended(_)
                        | AllocationState::Forgotten,
                    ) => true,
                }
            });
            asked
        }))
    }

    fn missing(&self) -> &'static str {
        MISSING
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arguments_of_the_user_come_before_those_that_the_spawner_needs() {
        let wishes = Wishes {
            account: Some("lab".to_owned()),
            partition: None,
            time: Some(Duration::from_millis(90_500)),
            extra: vec!["--no-requeue".to_owned()],
        };
        let arguments = wishes.arguments(2, 4, "x");
        let at = |text: &str| arguments.iter().position(|it| it == text).unwrap();
        at("--account=lab");
        at("--time=1:31");
        assert!(at("--no-requeue") < at("--requeue"));
        assert!(at("--nodes=2") < at("--no-requeue"));
        assert!(!arguments.iter().any(|it| it.starts_with("--partition")));
    }

    #[tokio::test]
    async fn program_that_hangs_is_killed() {
        let mut sleep = command("sleep");
        sleep.arg("1000");
        let within = Duration::from_millis(100);
        assert!(output(sleep, within).await.unwrap().is_none());
        let mut echo = command("echo");
        echo.arg("x");
        let ended = output(echo, ANSWER_TIMEOUT).await.unwrap().unwrap();
        assert_eq!(ended.stdout, b"x\n");
    }

    #[test]
    fn refusals_name_the_setting() {
        for (words, setting) in [
            (
                "sbatch: error: invalid partition specified: x; sbatch: error: Batch job \
                 submission failed: Invalid partition name specified",
                "spawner.slurm.partition",
            ),
            (
                "Invalid account or account/partition combination specified",
                "spawner.slurm.account",
            ),
            (
                "Requested node configuration is not available",
                "spawner.slurm.nodes",
            ),
            ("Requested time limit is invalid", "spawner.slurm.time"),
            ("Unable to contact slurm controller", "scontrol ping"),
            ("something else", "spawner.slurm.extra"),
        ] {
            let explained = explain_refusal(words);
            assert!(explained.contains(setting), "{explained}");
        }
    }
}
