//! Usage of processes is reported once, with the exit or the end of the task after which it is
//! known; limits apply to a process and its descendants, and not to the helper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{Helper, process_with, sh, until};
use persea_helper::protocol::{Ending, ProcessLimits, Reply, Request, Start, Usage};

const HOLD: &str = "dd if=/dev/zero of=/dev/null bs=50M count=1 2>&-";
const BURN: &str = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
const MIB: u64 = 1 << 20;

fn time(usage: Usage) -> u64 {
    usage.user_ns + usage.system_ns
}

#[test]
fn exit_has_the_usage_of_all_descendants_that_have_ended_since_the_last_one() {
    let mut helper = Helper::new();
    let large = helper.run(sh(&format!("sh -c '{BURN}; {HOLD}; :'; :")));
    assert!(large.usage.largest_process > 50 * MIB, "{large:?}");
    assert!(time(large.usage) > 20_000_000, "{large:?}");
    let small = helper.run(sh("exit 0"));
    assert!((1..20 * MIB).contains(&small.usage.largest_process));
    assert!(time(small.usage) < time(large.usage));
    helper.finish();
}

#[test]
fn end_of_the_task_has_the_usage_of_what_it_ended() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let script = format!("(setsid sh -c '{BURN}; sleep {mark}' &)");
    let exit = helper.run(sh(&script));
    until("the daemon sleeps", || {
        let sleeps = |pid: &i32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "sleep\n")
        };
        process_with(&mark).iter().any(sleeps)
    });
    let id = helper.id();
    helper.send(&Request::EndTask { id, only_for: None });
    let Reply::TaskEnded { usage, .. } = helper.reply(id) else {
        panic!("another reply");
    };
    assert!(time(usage) > 20_000_000, "{usage:?}");
    assert!(time(exit.usage) < time(usage), "{exit:?} {usage:?}");
    helper.finish();
}

#[test]
fn limits_of_a_process_apply_to_its_descendants_and_to_no_later_process() {
    let mut helper = Helper::new();
    let limits = ProcessLimits {
        file_size: Some(1000),
        address_space: Some(1 << 30),
        dies_first: true,
        ..ProcessLimits::default()
    };
    let script = "sh -c 'ulimit -f; ulimit -v; cat /proc/self/oom_score_adj' >limits; \
                  head -c 5000 /dev/zero >large";
    let work = helper.work_dir();
    let exit = helper.run(Start {
        cwd: Some(work.to_str().unwrap().to_owned()),
        limits: Some(Box::new(limits)),
        ..sh(&format!("exec sh -c '{}'", script.replace('\'', "\"")))
    });
    // 128 and SIGXFSZ.
    assert_eq!(exit.ending, Ending::Code(153));
    // In blocks of 512 bytes and 1024.
    let found = std::fs::read_to_string(work.join("limits")).unwrap();
    assert_eq!(found, "1\n1048576\n1000\n");
    assert_eq!(std::fs::read(work.join("large")).unwrap().len(), 1000);
    let exit = helper.run(sh(
        "test $(ulimit -f) != 1 && test $(cat /proc/self/oom_score_adj) != 1000",
    ));
    assert_eq!(exit.ending, Ending::Code(0));
    assert_eq!(helper.end_task(), 0);
    helper.finish();
}
