//! Owns the states of an allocation, and how they are read from what `scontrol` writes. Does not
//! know who asks, or what follows from a state.

use std::fmt;

/// What Slurm says about an allocation at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllocationState {
    /// The allocation waits in the queue for the first time.
    Pending { reason: String },
    /// Slurm has taken the nodes away, after a failure or for a job of higher priority, and the
    /// allocation waits in the queue again.
    Requeued { reason: String, is_held: bool },
    /// The nodes are being made ready.
    Configuring,
    /// The nodes can be used.
    Running(Nodes),
    /// The processes on the nodes are stopped, for a job of higher priority.
    Suspended,
    /// The processes on the nodes are being ended. The next state is the end, or the queue.
    Completing,
    /// The nodes are gone for good.
    Ended(EndCause),
    /// Slurm does not know the allocation any more: it ended some minutes ago.
    Forgotten,
    /// Slurm gives no answer, or none that can be understood. The nodes may be as they were.
    Unanswered { why: String },
}

/// The nodes of a running allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nodes {
    /// Their names, in the notation of Slurm: `n[1-3],m7`. A node that has failed is missing.
    pub(super) list: String,
    /// The node on which the pilot runs.
    pub(super) of_pilot: String,
    /// How often the allocation was requeued.
    pub(super) restarts: u32,
}

/// Why an allocation has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndCause {
    /// The pilot has ended, because nobody used the nodes any more.
    Completed,
    /// Somebody has cancelled it.
    Cancelled,
    /// Its time was over.
    TimeLimit,
    /// A node has failed.
    NodeFailure,
    /// A job of higher priority has got the nodes.
    Preempted,
    /// The pilot has used too much memory.
    OutOfMemory,
    /// A node could not be started.
    BootFailure,
    /// Its deadline has passed.
    Deadline,
    /// The pilot has failed.
    Failed,
    /// A sibling of it runs on another cluster.
    Revoked,
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "it has ended",
            Self::Cancelled => "it was cancelled",
            Self::TimeLimit => {
                "its time is over: give it more with `spawner.slurm.time`, as far as the partition \
                 allows"
            }
            Self::NodeFailure => "a node has failed",
            Self::Preempted => "a job of higher priority has got its nodes",
            Self::OutOfMemory => "its pilot was ended for its memory",
            Self::BootFailure => "a node could not be started",
            Self::Deadline => "its deadline has passed",
            Self::Failed => {
                "its pilot has failed: the pilot needs `/bin/sh`, and a `/tmp` on the node that it \
                 can write to"
            }
            Self::Revoked => "it runs on another cluster",
        })
    }
}

/// Reads the answer of `scontrol --oneliner show job`.
pub(super) fn parse(answer: &str) -> AllocationState {
    let field = |name: &str| {
        let mut words = answer.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    let unanswered = |why: String| AllocationState::Unanswered { why };
    let Some(state) = field("JobState") else {
        return unanswered("its answer has no state of the job".to_owned());
    };
    let restarts = field("Restarts").and_then(|number| number.parse().ok());
    let restarts: u32 = restarts.unwrap_or_default();
    // Slurm writes blanks in a reason as underscores.
    let reason = field("Reason").unwrap_or("None").replace('_', " ");
    let ended = AllocationState::Ended;
    // Later versions append flags, such as `RUNNING,COMPLETING`.
    let (state, flags) = state.split_once([',', '+']).unwrap_or((state, ""));
    match state {
        _ if flags.contains("COMPLETING") => AllocationState::Completing,
        "PENDING" if restarts == 0 => AllocationState::Pending { reason },
        "PENDING" | "REQUEUED" | "REQUEUE_FED" => AllocationState::Requeued {
            reason,
            is_held: false,
        },
        "REQUEUE_HOLD" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => AllocationState::Requeued {
            reason,
            is_held: true,
        },
        "CONFIGURING" | "POWER_UP_NODE" => AllocationState::Configuring,
        "RUNNING" | "RESIZING" | "SIGNALING" => {
            match (field("NodeList"), field("BatchHost")) {
                (Some(list), Some(of_pilot)) => AllocationState::Running(Nodes {
                    list: list.to_owned(),
                    of_pilot: of_pilot.to_owned(),
                    restarts,
                }),
                // Just allocated.
                _ => AllocationState::Configuring,
            }
        }
        "SUSPENDED" | "STOPPED" => AllocationState::Suspended,
        "COMPLETING" | "STAGE_OUT" => AllocationState::Completing,
        "COMPLETED" => ended(EndCause::Completed),
        "CANCELLED" => ended(EndCause::Cancelled),
        "TIMEOUT" => ended(EndCause::TimeLimit),
        "NODE_FAIL" => ended(EndCause::NodeFailure),
        "PREEMPTED" => ended(EndCause::Preempted),
        "OUT_OF_MEMORY" => ended(EndCause::OutOfMemory),
        "BOOT_FAIL" | "LAUNCH_FAILED" => ended(EndCause::BootFailure),
        "DEADLINE" => ended(EndCause::Deadline),
        "FAILED" => ended(EndCause::Failed),
        "REVOKED" => ended(EndCause::Revoked),
        other => unanswered(format!("the state {other} of the job is not known")),
    }
}

/// Reads the error message of `scontrol --oneliner show job`.
pub(super) fn parse_error(message: &str) -> AllocationState {
    match message.contains("Invalid job id") {
        true => AllocationState::Forgotten,
        false => AllocationState::Unanswered {
            why: message.trim().replace('\n', "; "),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Slurm 22.05 writes, shortened.
    fn answer(state: &str, reason: &str, restarts: u32) -> String {
        format!(
            "JobId=3 JobName=persea UserId=root(0) JobState={state} Reason={reason} \
             Dependency=(null) Requeue=1 Restarts={restarts} BatchFlag=1 TimeLimit=UNLIMITED \
             AllocNode:Sid=localhost:4726 ReqNodeList=(null) NodeList=n[1-2] BatchHost=n1 \
             NumNodes=2 WorkDir=/x JobState=FAILED\n"
        )
    }

    #[track_caller]
    fn assert_state(state: &str, expected: AllocationState) {
        assert_eq!(parse(&answer(state, "None", 0)), expected, "{state}");
    }

    #[test]
    fn waiting_allocation_has_its_reason() {
        assert_eq!(
            parse(&answer("PENDING", "Resources", 0)),
            AllocationState::Pending {
                reason: "Resources".to_owned()
            }
        );
        assert_eq!(
            parse(&answer(
                "PENDING",
                "ReqNodeNotAvail,_UnavailableNodes:n1",
                0
            )),
            AllocationState::Pending {
                reason: "ReqNodeNotAvail, UnavailableNodes:n1".to_owned()
            }
        );
    }

    #[test]
    fn allocation_that_waits_again_was_requeued() {
        for (state, restarts, is_held) in [
            ("PENDING", 1, false),
            ("REQUEUED", 0, false),
            ("REQUEUE_HOLD", 1, true),
            ("SPECIAL_EXIT", 1, true),
        ] {
            let reason = "BeginTime".to_owned();
            let expected = AllocationState::Requeued { reason, is_held };
            assert_eq!(
                parse(&answer(state, "BeginTime", restarts)),
                expected,
                "{state}"
            );
        }
    }

    #[test]
    fn running_allocation_has_its_nodes() {
        let nodes = Nodes {
            list: "n[1-2]".to_owned(),
            of_pilot: "n1".to_owned(),
            restarts: 2,
        };
        let state = AllocationState::Running(nodes);
        assert_eq!(parse(&answer("RUNNING", "None", 2)), state);
        assert_state("CONFIGURING", AllocationState::Configuring);
        assert_state("SUSPENDED", AllocationState::Suspended);
    }

    #[test]
    fn ends_are_told_apart() {
        for (state, cause) in [
            ("COMPLETED", EndCause::Completed),
            ("CANCELLED", EndCause::Cancelled),
            ("TIMEOUT", EndCause::TimeLimit),
            ("NODE_FAIL", EndCause::NodeFailure),
            ("PREEMPTED", EndCause::Preempted),
            ("OUT_OF_MEMORY", EndCause::OutOfMemory),
            ("BOOT_FAIL", EndCause::BootFailure),
            ("DEADLINE", EndCause::Deadline),
            ("FAILED", EndCause::Failed),
            ("REVOKED", EndCause::Revoked),
        ] {
            assert_state(state, AllocationState::Ended(cause));
        }
        assert_state("COMPLETING", AllocationState::Completing);
        assert_state("RUNNING,COMPLETING", AllocationState::Completing);
    }

    #[test]
    fn answer_without_a_known_state_is_no_answer() {
        for text in ["", "JobId=3", "JobId=3 JobState=DREAMING Reason=None"] {
            let state = parse(text);
            assert!(
                matches!(state, AllocationState::Unanswered { .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn forgotten_job_and_silent_controller_are_told_apart() {
        let forgotten = "slurm_load_jobs error: Invalid job id specified\n";
        assert_eq!(parse_error(forgotten), AllocationState::Forgotten);
        let silent = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)";
        assert_eq!(
            parse_error(silent),
            AllocationState::Unanswered {
                why: silent.to_owned()
            }
        );
    }
}
