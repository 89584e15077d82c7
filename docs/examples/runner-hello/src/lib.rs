//! A runner for the kind `hello`: a program passes if its output begins with a greeting.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};
use persea_plugin_sdk::status;

const GREETING: &str = "runner.hello.greeting";

struct Hello;

impl Runner for Hello {
    fn describe() -> Description {
        Description::new("hello", "passes when a program greets")
            .kinds(["hello"])
            .settings([GREETING])
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        let Some(program) = &task.runnable.uri else {
            return Ok(Outcome::error("kind hello needs a program as its uri"));
        };
        let greeting = task.settings.text(GREETING).unwrap_or("hello");
        let command = Command::new(program).args(&task.runnable.args);
        let exit = process::run(&command.stdout(Output::file("stdout")))?;
        let printed = status::read_artifact("stdout", 0, 1024)?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(match exit.code {
            Some(0) if printed.starts_with(greeting) => Outcome::pass(),
            Some(0) => Outcome::fail(format!("it does not begin with {greeting:?}")),
            _ => Outcome::error("the program did not end with exit code 0"),
        })
    }
}

export!(runner: Hello);

#[cfg(test)]
mod tests;
