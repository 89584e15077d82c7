//! A lister and a runner in one component, for shell scripts that hold many tests. The script names
//! its tests with the argument `list`, one on each line. It runs one with the arguments `run NAME`.
//!
//! A line may also ask for a fault: `panic` in the lister, `kind:KIND` for a test of another kind.
//! A line `warn:TEXT` is no test but a warning in the log.

use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};

const KIND: &str = "script-suite";

struct Suite;

impl Plugin for Suite {
    fn describe() -> Description {
        Description::new("script-suite", "lists and runs the tests of shell scripts")
            .role(Role::lister([KIND]))
            .role(Role::runner([KIND]))
    }
}

impl Lister for Suite {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        let script = task.runnable.uri.as_deref().unwrap_or_default();
        let list = Command::new(script)
            .args(["list"])
            .stdout(Output::file("list"));
        if !process::run(&list)?.success() {
            return Err(Error::new(
                "failed",
                format!("{script} does not name its tests"),
            ));
        }
        let names = artifacts::read("list", 0, 1 << 20)?;
        let names = String::from_utf8_lossy(&names).into_owned();
        let test = |name: &str| {
            assert_ne!(name, "panic", "it was asked to");
            let kind = name.strip_prefix("kind:").unwrap_or(KIND);
            Runnable::new(kind)
                .uri(script)
                .args([name])
                .identifier(format!("{script}:{name}"))
        };
        let mut tests = Vec::new();
        for line in names.lines() {
            match line.strip_prefix("warn:") {
                Some(text) => log(Level::Warn, text),
                None => tests.push(test(line)),
            }
        }
        Ok(Listing::new(tests).depends_on([script]))
    }
}

impl Runner for Suite {
    fn run(task: Task) -> Result<Outcome, Error> {
        let script = task.runnable.uri.as_deref().unwrap_or_default();
        let run = Command::new(script).args(["run"]);
        let run = run.args(task.runnable.args.iter().map(String::as_str));
        Ok(match process::run(&run)?.success() {
            true => Outcome::pass(),
            false => Outcome::fail("the script says so"),
        })
    }
}

export!(Suite: lister, runner);
