//! Owns the scripts of an allocation's life: who takes it, who holds it, and who ends it. Does not
//! know what its nodes are used for.
//!
//! The allocation is a batch job (`sbatch`), because batch jobs are allowed in every partition, and
//! because Slurm requeues them after the failure of a node; an allocation of `salloc` would be
//! lost, and some clusters allow it on few nodes only. The job's script, the *pilot*, only waits.
//! Helpers are steps of the job (`srun --jobid --overlap`), whose standard streams lead to the
//! host.
//!
//! Three things end the allocation, whatever happens:
//! - the host itself at its end;
//! - a shell beside the host, which waits for the end of its input. It cancels the job when the
//!   host was killed, also while the job waits in the queue;
//! - the pilot, when the keeper on its node has ended with the host, or is missing for 40 s: the
//!   keeper's lease is over when the host's machine is switched off or the network is cut.

/// The name of the jobs.
pub(super) const NAME: &str = "persea";

/// The script of the shell that submits the job, whose further arguments are those of `sbatch`. It
/// writes the number of the job, and cancels the job when its input ends.
pub(super) const SUBMIT: &str = r#"trap "" PIPE HUP INT TERM
id=$(sbatch "$@" </dev/null) || exit 1
echo "$id"
while read -r _; do :; done
exec scancel --quiet "${id%%;*}""#;

/// The path at which the pilot and the keeper on its node meet, without the number of the job and
/// how often the job was requeued. It is in `/tmp` and not in TMPDIR, which may differ between the
/// two. `mkfifo` refuses a path that exists already, so nobody else can be there.
const MEETING: &str = "/tmp/persea-pilot";

/// How long the pilot waits for a keeper, in seconds.
const WAIT_FOR_KEEPER: u32 = 40;

/// The job's script. Each round is one keeper: it writes `here` when it comes, and `end` when the
/// host has ended it.
pub(super) fn pilot() -> String {
    format!(
        r#"f={MEETING}-$SLURM_JOB_ID-${{SLURM_RESTART_COUNT:-0}}
umask 077
mkfifo "$f" || exit 1
trap 'rm -f "$f"' EXIT
trap 'exit 143' TERM
while :; do
    sleep {WAIT_FOR_KEEPER} >"$f" &
    exec 3<"$f"
    read -r word <&3 || exit 0
    kill $!
    while read -r word <&3; do
        [ "$word" != end ] || exit 0
    done
    exec 3<&-
done"#
    )
}

/// The keeper's script on the node of the pilot of this job, around the one that keeps the helper's
/// directory.
pub(super) fn holding(job: &str, restarts: u32, keeper: &str) -> String {
    // Opened for reading, too: without that, it would wait for a pilot that has just ended.
    format!(
        r#"f={MEETING}-{job}-{restarts}; n=0
until test -p "$f"; do
    n=$((n + 1)); test $n -lt 400 || {{ echo "the pilot is missing: there is no $f" >&2; exit 1; }}
    sleep 0.05
done
trap : HUP INT TERM
exec 9<>"$f"; echo here >&9
({keeper}); code=$?
test $code != 0 || {{ echo end >&9; rm -f "$f"; }}
exit $code"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// Runs a script as a step of a job with this number, which no job on this machine has.
    fn start(script: &str, job: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env("SLURM_JOB_ID", job);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn job(name: &str) -> String {
        format!("test-{name}-{}", std::process::id())
    }

    fn meeting(job: &str) -> std::path::PathBuf {
        format!("{MEETING}-{job}-0").into()
    }

    #[track_caller]
    fn assert_ends(child: &mut Child) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn pilot_ends_with_its_keeper() {
        let job = job("ends");
        let mut pilot = start(&pilot(), &job);
        let mut keeper = start(&holding(&job, 0, "cat"), &job);
        std::thread::sleep(Duration::from_millis(300));
        assert!(pilot.try_wait().unwrap().is_none());
        assert!(keeper.try_wait().unwrap().is_none());
        drop(keeper.stdin.take());
        assert_eq!(assert_ends(&mut keeper), 0);
        assert_eq!(assert_ends(&mut pilot), 0);
        assert!(!meeting(&job).exists());
    }

    #[test]
    fn pilot_waits_for_another_keeper_when_one_has_failed() {
        let job = job("waits");
        let mut pilot = start(&pilot(), &job);
        let mut first = start(&holding(&job, 0, "exit 1"), &job);
        assert_eq!(assert_ends(&mut first), 1);
        std::thread::sleep(Duration::from_millis(200));
        assert!(pilot.try_wait().unwrap().is_none());
        let mut second = start(&holding(&job, 0, "true"), &job);
        assert_eq!(assert_ends(&mut second), 0);
        assert_eq!(assert_ends(&mut pilot), 0);
    }

    #[test]
    fn pilot_takes_no_path_that_exists() {
        let job = job("exists");
        std::fs::write(meeting(&job), "").unwrap();
        let mut pilot = start(&pilot(), &job);
        let code = assert_ends(&mut pilot);
        std::fs::remove_file(meeting(&job)).unwrap();
        assert_eq!(code, 1);
    }

    #[test]
    fn pilot_without_a_keeper_ends() {
        let job = job("alone");
        let quick = pilot().replace(&format!("sleep {WAIT_FOR_KEEPER}"), "sleep 0.2");
        let mut pilot = start(&quick, &job);
        assert_eq!(assert_ends(&mut pilot), 0);
        assert!(!meeting(&job).exists());
    }
}
