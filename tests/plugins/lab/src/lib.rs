//! Owns a plugin for boards: a runner for the kind `lab` and a requirement resolver for the kinds
//! `image` and `power`. Both do what their arguments say.

use std::time::Duration;

use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};

struct Lab;

impl Plugin for Lab {
    fn describe() -> Description {
        Description::new("lab", "acts out boards and cases")
            .role(Role::runner(["lab"]))
            .role(Role::requirement_resolver(["image", "power"]).with("on-leases", true))
    }
}

impl Runner for Lab {
    /// Each argument is one step: `start PATH`, `STATUS PATH REASON`, `many COUNT`, `say TEXT`,
    /// `sleep`, `once FILE` (the infrastructure fails while the file is missing, and makes it), or
    /// at the end `end STATUS`.
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

/// The line that both sides of a requirement write to the file `lab.log`: the word, the uri, the
/// boards and the variant.
fn log(word: &str, request: &RequirementRequest) -> Result<(), Error> {
    let boards = request.leases("board").join(",");
    let variant = request.more.json("variant").unwrap_or("-");
    let uri = request.requirement.uri.as_deref().unwrap_or("-");
    let line = format!("{word} {uri} {boards} {variant}");
    shell(r#"echo "$1" >> lab.log"#, &[&line])?;
    Ok(())
}

impl RequirementResolver for Lab {
    fn check(_: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        Ok(Presence::Absent.into())
    }

    /// `image` waits for the file that its uri names; `power` fails once.
    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        log("begin", request)?;
        let uri = request.requirement.uri.as_deref().unwrap_or("image");
        let is_there = match request.requirement.kind.as_str() {
            "power" => shell(MARKED, &[uri])?,
            _ => shell(r#"while ! test -e "$1"; do sleep 0.02; done"#, &[uri])?,
        };
        if !is_there {
            return Err(Error::new("failed", "the socket does not answer").infrastructure());
        }
        log("end", request)?;
        Ok(FulfilledRequirement::new())
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        log("release", &request.request)
    }
}

export!(Lab: runner, requirement_resolver);
