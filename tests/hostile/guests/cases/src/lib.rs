//! Owns a runner that reports cases and polls as no honest runner does, each way a kind.

use std::time::Duration;

use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::poll::{self, Interest, Pollable};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output, Pipe};

struct Hostile;

const KINDS: [&str; 12] = [
    "case-deep",
    "case-million",
    "case-data",
    "case-twice",
    "case-never",
    "case-hang",
    "poll-dropped",
    "poll-nothing",
    "poll-many",
    "poll-idle",
    "poll-ended",
    "poll-interrupted",
];

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("cases", "reports cases and polls as no honest runner does")
            .role(Role::runner(KINDS))
    }
}

impl Runner for Hostile {
    fn run(task: Task) -> Result<Outcome, Error> {
        match task.runnable.kind.as_str() {
            "case-deep" => {
                let deep = vec!["x"; 10_000];
                let started = cases::start(deep.clone());
                let finished = cases::finish([
                    Case::new(["good"], Status::Pass),
                    Case::new(deep, Status::Pass),
                    Case::new(["beyond"], Status::Pass),
                ]);
                Ok(refused_as("invalid", [started, finished]))
            }
            "case-million" => {
                let reason = "r".repeat(1 << 20);
                for number in 0..1_000_000 {
                    let case = Case::new([format!("case {number}")], Status::Fail);
                    // Over the limit the host answers with an error, which ends the task.
                    cases::finish([case.reason(&reason)])?;
                }
                Ok(Outcome::pass())
            }
            "case-data" => {
                // Each byte of this text would take many in a tree.
                let json = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
                for number in 0..1_000_000 {
                    let case = Case::new([format!("case {number}")], Status::Pass);
                    cases::finish([case.with("data", Value::json(&json))])?;
                }
                Ok(Outcome::pass())
            }
            "case-twice" => {
                cases::start(["twice"])?;
                cases::start(["twice"])?;
                for status in [Status::Pass, Status::Fail, Status::Pass] {
                    cases::finish([Case::new(["twice"], status)])?;
                }
                Ok(Outcome::pass())
            }
            "case-never" => {
                cases::start(["never"])?;
                Ok(Outcome::pass())
            }
            "case-hang" => {
                cases::start(["hangs"])?;
                process::run(&Command::new("sleep").arg("1000"))?;
                Ok(Outcome::pass())
            }
            "poll-dropped" => {
                let pollables = {
                    let child = sleep()?;
                    [
                        Interest::Readable(Pipe::Stdout),
                        Interest::Writable,
                        Interest::Ended,
                    ]
                    .map(|interest| poll::watch(&child, interest))
                };
                let [read, write, end] = pollables;
                let among = [&read?, &write?, &end?];
                let are_ready = among.iter().all(|pollable| pollable.ready());
                let ready = poll::poll(&among, None)?;
                Ok(outcome(are_ready && ready == [0, 1, 2]))
            }
            "poll-nothing" => {
                let slept = poll::poll(&[], Some(Duration::from_millis(1)))?;
                let refused = poll::poll(&[], None);
                let stdin = sleep()?;
                let no_pipe = poll::watch(&stdin, Interest::Readable(Pipe::Report));
                let codes = [refused.map(|_| ()), no_pipe.map(|_| ())];
                match slept.is_empty() {
                    true => Ok(refused_as("invalid", codes)),
                    false => Ok(Outcome::fail("nothing was ready")),
                }
            }
            "poll-many" => {
                let child = sleep()?;
                let mut all: Vec<Pollable> = Vec::new();
                let refused = loop {
                    match poll::watch(&child, Interest::Ended) {
                        Ok(pollable) => all.push(pollable),
                        Err(error) => break error,
                    }
                };
                let count = all.len();
                let many: Vec<&Pollable> = all.iter().chain(all.first()).collect();
                let polled = poll::poll(&many, Some(Duration::ZERO));
                let codes = [polled.map(|_| ())];
                // Pollables take no room of children.
                process::run(&Command::new("true"))?;
                sleep()?;
                match (count, refused.code.as_str()) {
                    (1024, "limit") => Ok(refused_as("invalid", codes)),
                    other => Ok(Outcome::fail(format!("{other:?}"))),
                }
            }
            "poll-idle" => loop {
                poll::poll(&[], Some(Duration::from_secs(3600)))?;
            },
            "poll-ended" => {
                // The runner never looks at the end of its child.
                let child = process::start(&Command::new("true"))?;
                loop {
                    poll::poll(&[], Some(Duration::from_secs(3600)))?;
                    std::hint::black_box(&child);
                }
            }
            "poll-interrupted" => {
                let child = sleep()?;
                let end = poll::watch(&child, Interest::Ended)?;
                match poll::poll(&[&end], None) {
                    Err(error) => Ok(Outcome::pass().with("polled", error.code)),
                    other => Ok(Outcome::fail(format!("{other:?}"))),
                }
            }
            other => Ok(Outcome::error(format!("no such kind: {other}"))),
        }
    }
}

/// Starts a process that sleeps, with pipes.
fn sleep() -> Result<process::Child, Error> {
    let sleep = Command::new("sleep").arg("1000");
    process::start(&sleep.stdin(process::Input::Pipe).stdout(Output::Pipe))
}

/// A pass if all of these were refused with one code.
fn refused_as<const N: usize>(code: &str, results: [Result<(), Error>; N]) -> Outcome {
    let is_so = |result: &Result<(), Error>| matches!(result, Err(error) if error.code == code);
    match results.iter().all(is_so) {
        true => Outcome::pass(),
        false => Outcome::fail(format!("{results:?}")),
    }
}

fn outcome(passed: bool) -> Outcome {
    match passed {
        true => Outcome::pass(),
        false => Outcome::fail("it did not do what the contract says"),
    }
}

export!(Hostile: runner);
