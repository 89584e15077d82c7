//! Owns another version of the runner `greet`, which starts no processes and serves one more kind.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;

struct Greet;

impl Runner for Greet {
    fn describe() -> Description {
        Description::new("greet", "greets whom the uri names").kinds(["greet", "wave"])
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        status::whiteboard(task.runnable.uri.as_deref().unwrap_or_default())?;
        Ok(Outcome::pass())
    }
}

persea_plugin_sdk::export!(runner: Greet);
