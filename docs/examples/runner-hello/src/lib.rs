//! A runner for the kind `hello`: a program passes if its output begins with a greeting.
use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};

const GREETING: Setting<Text> = Setting::text("runner.hello.greeting")
    .default("hello")
    .summary("How the output of a program must begin");

struct Hello;

impl Plugin for Hello {
    fn describe() -> Description {
        Description::new("hello", "passes when a program greets")
            .role(Role::runner(["hello"]))
            .setting(&GREETING)
    }
}

impl Runner for Hello {
    fn run(task: Task) -> Result<Outcome, Error> {
        let Some(program) = &task.runnable.uri else {
            return Ok(Outcome::error("kind hello needs a program as its uri"));
        };
        let greeting = GREETING.get(&task.settings);
        let command = Command::new(program).args(&task.runnable.args);
        let exit = process::run(&command.stdout(Output::file("stdout")))?;
        let printed = artifacts::read("stdout", 0, 1024)?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(match exit.code() {
            Some(0) if printed.starts_with(greeting) => Outcome::pass(),
            Some(0) => Outcome::fail(format!("it does not begin with {greeting:?}")),
            _ => Outcome::error("the program did not end with exit code 0"),
        })
    }
}

export!(Hello: runner);

#[cfg(test)]
mod tests;
