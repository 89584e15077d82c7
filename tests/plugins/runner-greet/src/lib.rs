//! Owns a runner for the kind `greet`, which has no built-in runner: it greets the name in the uri.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};
use persea_plugin_sdk::status;

struct Greet;

impl Runner for Greet {
    fn describe() -> Description {
        Description::new("greet", "greets whom the uri names")
            .kinds(["greet"])
            .settings(["runner.greet.words"])
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        let Some(name) = &task.runnable.uri else {
            return Ok(Outcome::error("a greeting needs a name, as its uri"));
        };
        let words = task.settings.text("runner.greet.words").unwrap_or("Hello");
        let greeting = format!("{words}, {name}!");
        status::progress(&format!("about to greet {name}"))?;
        let echo = Command::new("echo").arg(&greeting);
        let exit = process::run(&echo.stdout(Output::file("stdout")))?;
        status::write_artifact("greeting.txt", greeting.as_bytes())?;
        status::whiteboard(&greeting)?;
        Ok(match exit.code {
            Some(0) if name == "nobody" => Outcome::fail("nobody is there to be greeted"),
            Some(0) => Outcome::pass().with("returncode", 0),
            _ => Outcome::error("echo did not work"),
        })
    }
}

export!(runner: Greet);
