//! Owns another version of the runner `greet`, which starts no processes and serves one more kind.
use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;

struct Greet;

impl Plugin for Greet {
    fn describe() -> Description {
        Description::new("greet", "greets whom the uri names").role(Role::runner(["greet", "wave"]))
    }
}

impl Runner for Greet {
    fn run(task: Task) -> Result<Outcome, Error> {
        messages::whiteboard(task.runnable.uri.as_deref().unwrap_or_default())?;
        Ok(Outcome::pass())
    }
}

export!(Greet: runner);
