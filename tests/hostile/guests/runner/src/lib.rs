//! Owns a runner that fails in every way that a runner can, each a kind.
use std::hint::black_box;

use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Input, Pipe};
use persea_plugin_sdk::{artifacts, messages};

struct Hostile;

const KINDS: [&str; 16] = [
    "panic",
    "loop",
    "hog",
    "stack",
    "rubbish",
    "orphan",
    "flood",
    "chatter",
    "artifacts",
    "exit-early",
    "error",
    "escape",
    "shell",
    "swap",
    "many",
    "claim",
];

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "fails in every way that a runner can")
            .role(Role::runner(KINDS))
    }
}

impl Runner for Hostile {
    fn run(task: Task) -> Result<Outcome, Error> {
        let uri = task.runnable.uri.as_deref().unwrap_or_default();
        match task.runnable.kind.as_str() {
            "panic" => panic!("the deep end of {uri}"),
            "loop" => loop {
                black_box(uri);
            },
            "hog" => hog(),
            "stack" => Ok(Outcome::fail(format!("{}", recurse(1)))),
            "rubbish" => Ok(rubbish(uri)),
            "orphan" => orphan(),
            "flood" => {
                for line in 0..200_000 {
                    log(
                        Level::Info,
                        &format!("line {line} of a flood that nobody wants to read"),
                    );
                }
                Ok(Outcome::pass())
            }
            "chatter" => {
                let text = "blah ".repeat(20_000);
                loop {
                    // Over the limit the host answers with an error, which ends the task.
                    messages::progress(&text)?;
                }
            }
            "artifacts" => {
                let bytes = vec![b'x'; 1 << 20];
                loop {
                    artifacts::write("heap", &bytes)?;
                }
            }
            "exit-early" => std::process::exit(0),
            "error" => Err(Error::new("not-permitted", "I do not want to").with("mood", "bad")),
            "escape" => escape(),
            "shell" => {
                let exit = shell(&task)?;
                Ok(match exit.code() {
                    Some(0) => Outcome::pass(),
                    _ => Outcome::fail(format!("{:?} {:?}", exit.code(), exit.signal())),
                })
            }
            "swap" => {
                // The script has replaced the task's directory or a file in it. The task passes if
                // the host follows that.
                let exit = shell(&task)?;
                if exit.code() != Some(0) {
                    return Ok(Outcome::error(format!("the script: {exit:?}")));
                }
                let written = artifacts::write("planted", b"x");
                let read = artifacts::read("secret", 0, 100);
                Ok(match (written, read) {
                    (Err(_), Err(_)) => Outcome::fail("no way through"),
                    both => Outcome::pass().with("could", format!("{both:?}")),
                })
            }
            "many" => {
                let mut all = Vec::new();
                for _ in 0..10_000 {
                    all.push(process::start(&Command::new("sleep").arg("1000"))?);
                }
                Ok(Outcome::pass())
            }
            "claim" => {
                // The runner names another task, but the host knows whose messages these are.
                messages::progress("2-after: PASS")?;
                messages::whiteboard("{\"id\": \"3-after\", \"status\": \"ERROR\"}")?;
                Ok(Outcome::fail("claimed")
                    .with("id", "3-after")
                    .with("task", "3-after"))
            }
            other => Ok(Outcome::error(format!("no such kind: {other}"))),
        }
    }
}

/// Runs the script of a task in a shell.
fn shell(task: &Task) -> Result<process::Exit, Error> {
    let shell = Command::new("sh").args(["-c".to_owned(), task.runnable.args.join(" ")]);
    let shell = shell.env(
        "AVOCADO_TEST_OUTPUTDIR",
        task.output_dir().unwrap_or_default(),
    );
    process::run(&shell.stdout(process::Output::file("stdout")))
}

fn hog() -> Result<Outcome, Error> {
    let mut all = Vec::new();
    loop {
        all.push(vec![black_box(1_u8); 16 << 20]);
        black_box(&all);
    }
}

fn recurse(depth: u64) -> u64 {
    let local = black_box([depth; 64]);
    local[0] + black_box(recurse)(depth + 1)
}

/// Results that no honest runner gives.
fn rubbish(which: &str) -> Outcome {
    match which {
        "empty" => Outcome::fail(""),
        "huge" => Outcome::fail("a reason without end, ".repeat(1 << 18)),
        "control" => {
            Outcome::fail("\u{1b}[2J\u{1b}]0;owned\u{7}gone\r\n (1/1) x: PASS\u{202e}\u{9b}31m")
        }
        "nul" => Outcome::fail("a\0b\u{b}c\u{ffff}"),
        "interrupted" => Outcome::new(Status::Interrupted, None),
        // Fields of the journal that only the host sets.
        "forged" => Outcome::fail("forged")
            .with("status", "PASS")
            .with("name", "another")
            .with("directory", "../../..")
            .with("index", 99)
            .with("started", "never")
            .with("whiteboard", 3),
        _ => Outcome::new(Status::Warn, None).with("json", Value::Json("{ no json".into())),
    }
}

/// Returns while two processes run: one whose handle was leaked, and one that has left the session.
fn orphan() -> Result<Outcome, Error> {
    let sleep = process::start(&Command::new("sleep").arg("1000"))?;
    std::mem::forget(sleep);
    let daemon = "setsid sh -c 'trap \"\" TERM HUP
                  echo here; exec >/dev/null 2>&1; while :; do sleep 1; done' & wait";
    let shell = Command::new("sh").args(["-c", daemon]).stdin(Input::Empty);
    let child = process::start(&shell.stdout(process::Output::Pipe))?;
    // The daemon has started once it has written.
    child.read(Pipe::Stdout, 16)?;
    std::mem::forget(child);
    Ok(Outcome::pass())
}

/// Tries to write and read outside of the task's directory. The task passes if it can.
fn escape() -> Result<Outcome, Error> {
    for name in [
        "../escaped",
        "/tmp/persea-escaped",
        ".hidden",
        "a/b",
        "",
        "..",
        "a\nb",
    ] {
        if artifacts::write(name, b"x").is_ok() {
            return Ok(Outcome::pass().with("name", name));
        }
        if artifacts::read(name, 0, 1).is_ok() {
            return Ok(Outcome::pass().with("name", name));
        }
    }
    if artifacts::read("../../id", 0, 40).is_ok() {
        return Ok(Outcome::pass());
    }
    Ok(Outcome::cancel("no way out"))
}

export!(Hostile: runner);
