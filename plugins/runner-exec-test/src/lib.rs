//! Owns the runner for the kind `exec-test`: runs a program and judges it by its exit code. The
//! program writes straight into the task's files `stdout` and `stderr`; this plugin reads none of
//! its output. Does not know how a program is started: see `persea-exec-command`.

use persea_exec_command::{CLEAR_ENV, commands, describe_exit, return_code, start_failure};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};

/// Setting with the exit codes of a skipped test: a JSON list of whole numbers, in which a signal's
/// number is negative.
const SKIP: &str = "runner.exectest.exitcodes.skip";

struct ExecTest;

impl ProgramRunner for ExecTest {
    fn describe() -> Description {
        Description::new("exec-test", "runs a program, which passes with exit code 0")
            .kinds(["exec-test"])
            .settings([CLEAR_ENV, SKIP])
    }

    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        // An invalid setting is reported before the program runs.
        skip_codes(&task.settings)?;
        commands(task)
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        let exit = match end {
            Ok(exit) => exit,
            Err(error) => return Ok(start_failure(task, error)),
        };
        let code = return_code(&exit);
        let outcome = if skip_codes(&task.settings)?.contains(&code) {
            Outcome::skip(describe_exit(&exit))
        } else if code == 0 {
            Outcome::pass()
        } else {
            Outcome::fail(describe_exit(&exit))
        };
        Ok(outcome.with("returncode", code))
    }
}

/// Reads the setting [`SKIP`].
fn skip_codes(settings: &Attributes) -> Result<Vec<i64>, Error> {
    match settings.get(SKIP) {
        None | Some(Value::None) => Some(Vec::new()),
        Some(Value::Json(text)) => serde_json::from_str(text).ok(),
        Some(_) => None,
    }
    .ok_or_else(|| {
        Error::new(
            "invalid",
            format!("{SKIP} must be a list of whole numbers, such as [77]"),
        )
    })
}

export!(program_runner: ExecTest);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn task() -> Task {
        let runnable = Runnable::new("exec-test").uri("./t.sh").args(["-v"]);
        Task::new("1-./t.sh", runnable).setting(SKIP, Value::json("[77, -15]"))
    }

    fn outcome(exit: Exit) -> Outcome {
        ExecTest::judge(&task(), Ok(exit)).unwrap()
    }

    #[test]
    fn exit_code_decides_the_result() {
        let expected = Outcome::pass().with("returncode", 0);
        assert_eq!(outcome(Exit::code(0)), expected);
        let expected = Outcome::fail("exited with code 3").with("returncode", 3);
        assert_eq!(outcome(Exit::code(3)), expected);
        let expected = Outcome::skip("exited with code 77").with("returncode", 77);
        assert_eq!(outcome(Exit::code(77)), expected);
        let expected = Outcome::fail("ended by signal 11 (SIGSEGV)").with("returncode", -11);
        assert_eq!(outcome(Exit::signal(11)), expected);
        let expected = Outcome::skip("ended by signal 15 (SIGTERM)").with("returncode", -15);
        assert_eq!(outcome(Exit::signal(15)), expected);
    }

    #[test]
    fn missing_program_is_an_error() {
        let missing = Error::new("not-found", "no such program").with("os-error", 2);
        let expected = Outcome::error("[Errno 2] No such file or directory: './t.sh'");
        assert_eq!(ExecTest::judge(&task(), Err(missing)), Ok(expected));
    }

    #[test]
    fn program_is_started_with_its_arguments() {
        let commands = ExecTest::commands(&task()).unwrap();
        let [command] = commands.as_slice() else {
            panic!("{commands:?}");
        };
        assert_eq!(
            (&*command.program, &*command.args),
            ("./t.sh", &["-v".to_owned()][..])
        );
    }

    #[test]
    fn invalid_skip_codes_are_an_error() {
        for wrong in [Value::json("[1.5]"), Value::json("{}"), Value::Integer(77)] {
            let error = ExecTest::commands(&task().setting(SKIP, wrong)).unwrap_err();
            assert_eq!(
                error.message,
                "runner.exectest.exitcodes.skip must be a list of whole numbers, such as [77]"
            );
        }
    }
}
