//! Owns a plugin for boards: a runner for the kind `lab`, also of batches and of listed tests, and
//! a requirement resolver for the kinds `image`, `power`, `timed` and `witness`. All do what their
//! arguments say.

use std::time::Duration;

use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::messages;
use persea_plugin_sdk::monotonic_clock;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};

mod requirements;
mod streams;

/// A setting whose value nobody but the plugin sees.
const TOKEN: OptionalSetting<Text> = Setting::text("lab.api-token")
    .summary("What the boards ask for")
    .secret();

/// The same, of several values.
const ACCOUNT: OptionalSetting<Table> = Setting::table("lab.account")
    .summary("Who asks the boards")
    .secret();

struct Lab;

impl Plugin for Lab {
    fn describe() -> Description {
        let requirements = Role::requirement_resolver(requirements::KINDS);
        Description::new("lab", "acts out boards and cases")
            .role(Role::runner(["lab", "lab-batch", "lab-list"]))
            .role(Role::batch_runner(["lab-batch"]))
            .role(Role::lister(["lab-list"]))
            .role(requirements.with("on-leases", true))
            .setting(&TOKEN)
            .setting(&ACCOUNT)
    }
}

impl Runner for Lab {
    /// Each argument is one step: `start PATH`, `STATUS PATH REASON`, `many COUNT`, `say TEXT`,
    /// `sleep`, `once FILE` (the infrastructure fails while the file is missing, and makes it),
    /// `clock`, `note TEXT` and `secrets` (which write a file of that name), a step of `streams`,
    /// or at the end `end STATUS`.
    fn run(task: Task) -> Result<Outcome, Error> {
        for step in &task.runnable.args {
            let mut words = step.splitn(3, ' ');
            let (verb, what) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            match (verb, words.next()) {
                ("start", _) => cases::start(what.split('/'))?,
                ("say", _) => messages::progress(what)?,
                ("sleep", _) => {
                    process::run(&Command::new("sleep").arg("60"))?;
                }
                ("many", _) => many(what)?,
                ("once", _) if !shell(MARKED, &[what])? => {
                    return Ok(Outcome::infrastructure("the board does not answer"));
                }
                ("once", _) => {}
                ("clock", _) => artifacts::write("clock", remaining().as_bytes())?,
                ("note", _) => artifacts::write("note", what.as_bytes())?,
                ("secrets", _) => artifacts::write("secrets", secrets(&task).as_bytes())?,
                ("stream", _) => streams::step(what)?,
                ("end", reason) => {
                    let reason = reason.map(str::to_owned);
                    return Ok(Outcome::new(status(what)?, reason));
                }
                (verb, reason) => {
                    let mut case = Case::new(what.split('/'), status(verb)?);
                    if let Some(reason) = reason {
                        case = case.reason(reason).with("file", "lab.rs");
                    }
                    cases::finish([case])?;
                }
            }
        }
        let boards = task.leases("board").join(",");
        Ok(Outcome::pass().with("boards", boards))
    }
}

impl BatchRunner for Lab {
    fn run_batch(batch: &mut Batch) -> Result<(), Error> {
        while let Some(task) = batch.take_task()? {
            batch.finish_task(Self::run(task))?;
        }
        Ok(())
    }
}

impl Lister for Lab {
    /// One test, which notes what the lister's clock says.
    fn list_tests(_: &Task) -> Result<Listing, Error> {
        let note = format!("note {}", remaining());
        let test = Runnable::new("lab-list").uri("listed").args([note]);
        Ok(Listing::new([test]))
    }
}

/// The time that is left by the clock of the call, in milliseconds, or `none`.
fn remaining() -> String {
    let left = monotonic_clock::remaining();
    left.map_or("none".to_owned(), |left| left.as_millis().to_string())
}

/// What the plugin knows of its secret settings: their characters in the opposite order.
fn secrets(task: &Task) -> String {
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let token = TOKEN.get(&task.settings).map(backwards);
    let account = ACCOUNT.get(&task.settings).map(backwards);
    [token, account]
        .map(|secret| secret.unwrap_or("none".to_owned()))
        .join("\n")
}

/// Succeeds where a file exists, and makes it.
const MARKED: &str = r#"test -e "$1" || { touch "$1"; false; }"#;

fn status(name: &str) -> Result<Status, Error> {
    Ok(match name {
        "PASS" => Status::Pass,
        "FAIL" => Status::Fail,
        "SKIP" => Status::Skip,
        "ERROR" => Status::Error,
        "CANCEL" => Status::Cancel,
        other => return Err(Error::new("invalid", format!("no step `{other}`"))),
    })
}

/// Reports this many cases, each with its start.
fn many(count: &str) -> Result<(), Error> {
    let count: u32 = count.parse().unwrap_or(0);
    for number in 0..count {
        let path = ["many".to_owned(), number.to_string()];
        cases::start(path.clone())?;
        cases::finish([Case::new(path, Status::Pass).duration(Duration::from_nanos(1))])?;
    }
    Ok(())
}

fn shell(line: &str, args: &[&str]) -> Result<bool, Error> {
    let command = Command::new("sh").args(["-c", line, "sh"]);
    Ok(process::run(&command.args(args.iter().copied()))?.success())
}

export!(Lab: runner, batch_runner, lister, requirement_resolver);
