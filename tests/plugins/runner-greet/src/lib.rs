//! Owns a runner for the kind `greet`, which has no built-in runner: it greets the name in the uri.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};
use persea_plugin_sdk::{artifacts, messages};

const WORDS: Setting<Text> = Setting::text("runner.greet.words")
    .default("Hello")
    .summary("The words before the name");

struct Greet;

impl Plugin for Greet {
    fn describe() -> Description {
        Description::new("greet", "greets whom the uri names")
            .role(Role::runner(["greet"]))
            .setting(&WORDS)
    }
}

impl Runner for Greet {
    fn run(task: Task) -> Result<Outcome, Error> {
        let Some(name) = &task.runnable.uri else {
            return Ok(Outcome::error("a greeting needs a name, as its uri"));
        };
        let words = WORDS.get(&task.settings);
        let greeting = format!("{words}, {name}!");
        messages::progress(&format!("about to greet {name}"))?;
        let echo = Command::new("echo").arg(&greeting);
        let exit = process::run(&echo.stdout(Output::file("stdout")))?;
        artifacts::write("greeting.txt", greeting.as_bytes())?;
        messages::whiteboard(&greeting)?;
        Ok(match exit.code() {
            Some(0) if name == "nobody" => Outcome::fail("nobody is there to be greeted"),
            Some(0) => Outcome::pass().with("returncode", 0),
            _ => Outcome::error("echo did not work"),
        })
    }
}

export!(Greet: runner);
