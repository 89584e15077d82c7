//! Owns a program runner that misbehaves as the uri of the runnable says.

use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::log::{self, Level};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Exit, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of tasks that this instance has judged.
static JUDGED: AtomicU64 = AtomicU64::new(0);

struct Program;

fn way(task: &Task) -> &str {
    task.runnable.uri.as_deref().unwrap_or_default()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

impl Plugin for Program {
    fn describe() -> Description {
        Description::new("program", "names programs that are none")
            .role(Role::program_runner(["program"]))
    }
}

impl ProgramRunner for Program {
    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        let fine = || Command::new("/bin/true");
        let missing = |n: usize| Command::new(format!("/nowhere/{n}"));
        Ok(match way(task) {
            "none" => Vec::new(),
            "many" => (0..17).map(missing).collect(),
            "missing" => (0..16).map(missing).collect(),
            "last" => (0..15).map(missing).chain([fine()]).collect(),
            "pipe" => vec![fine().stdout(Output::Pipe)],
            "elsewhere" => vec![fine().stdout(Output::file("../../elsewhere"))],
            "error" => return Err(Error::new("invalid", "I know of no program")),
            "panic" => panic!("no program for {}", task.id),
            "loop" => spin(),
            "early" => {
                artifacts::write("early", b"x")?;
                vec![fine()]
            }
            "cases-early" => {
                cases::start(["early"])?;
                vec![fine()]
            }
            "starts-early" => {
                process::run(&fine())?;
                vec![fine()]
            }
            "fails" => vec![Command::new("/bin/false")],
            _ => vec![fine()],
        })
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        let end = end?;
        let judged = JUDGED.fetch_add(1, Ordering::Relaxed);
        match way(task) {
            "judge-error" => Err(Error::new("invalid", "I cannot judge that")),
            "judge-panic" => panic!("no judgement for {}", task.id),
            "judge-loop" => spin(),
            "judge-starts" => {
                process::run(&Command::new("/bin/true"))?;
                Ok(Outcome::pass())
            }
            "judge-cases" => {
                cases::start(["running"])?;
                let ended = [("running", Status::Pass), ("unannounced", Status::Fail)];
                cases::finish(ended.map(|(name, status)| Case::new([name], status)))?;
                cases::start(["left"])?;
                Ok(Outcome::pass())
            }
            "hoards" => {
                // The memory is never freed.
                std::mem::forget(vec![1_u8; 40 << 20]);
                Ok(Outcome::pass())
            }
            "floods" => {
                for line in 0..200_000 {
                    log::log(Level::Info, &format!("line {line} of a flood"));
                }
                Ok(Outcome::pass())
            }
            _ => Ok(match end.code() {
                Some(0) => Outcome::pass(),
                _ => Outcome::fail("its program has failed"),
            }
            .with("judged-before", i64::try_from(judged).unwrap_or(-1))),
        }
    }
}

export!(Program: program_runner);
