//! Owns the runner for the kind `exec-test`: runs a program and judges it by its exit code. The
//! program writes straight into the task's files `stdout` and `stderr`; this plugin reads none of
//! its output. Does not know how a program is started: see `persea-exec-command`.

use persea_exec_command::{
    CLEAR_ENV, commands, describe_exit, return_code, start_failure, unknown_ending,
};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Command, Exit};

/// The exit codes of a skipped test; a signal's number is negative.
const SKIP: Setting<IntegerList> = Setting::integer_list("runner.exectest.exitcodes.skip")
    .default(&[])
    .summary("Exit codes with which a test is skipped; a signal's number is below zero");

struct ExecTest;

impl Plugin for ExecTest {
    fn describe() -> Description {
        Description::new("exec-test", "runs a program, which passes with exit code 0")
            .role(Role::program_runner(["exec-test"]))
            .setting(&CLEAR_ENV)
            .setting(&SKIP)
    }
}

impl ProgramRunner for ExecTest {
    fn commands(task: &Task) -> Result<Vec<Command>, Error> {
        // An invalid setting is reported before the program runs.
        SKIP.checked(&task.settings)?;
        commands(task)
    }

    fn judge(task: &Task, end: Result<Exit, Error>) -> Result<Outcome, Error> {
        let exit = match end {
            Ok(exit) => exit,
            Err(error) => return Ok(start_failure(task, error)),
        };
        let Some(code) = return_code(&exit) else {
            return Ok(unknown_ending(&exit));
        };
        let outcome = if SKIP.checked(&task.settings)?.contains(&code) {
            Outcome::skip(describe_exit(&exit))
        } else if code == 0 {
            Outcome::pass()
        } else {
            Outcome::fail(describe_exit(&exit))
        };
        Ok(outcome.with("returncode", code))
    }
}

export!(ExecTest: program_runner);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use persea_plugin_sdk::process::Ending;

    fn task() -> Task {
        let runnable = Runnable::new("exec-test").uri("./t.sh").args(["-v"]);
        Task::new("1-./t.sh", runnable).setting(SKIP.key(), Value::json("[77, -15]"))
    }

    fn exited(code: i32) -> Exit {
        Exit::new(Ending::Code(code))
    }

    fn killed(signal: i32) -> Exit {
        Exit::new(Ending::Signal(signal))
    }

    fn outcome(exit: Exit) -> Outcome {
        ExecTest::judge(&task(), Ok(exit)).unwrap()
    }

    #[test]
    fn exit_code_decides_the_result() {
        let expected = Outcome::pass().with("returncode", 0);
        assert_eq!(outcome(exited(0)), expected);
        let expected = Outcome::fail("exited with code 3").with("returncode", 3);
        assert_eq!(outcome(exited(3)), expected);
        let expected = Outcome::skip("exited with code 77").with("returncode", 77);
        assert_eq!(outcome(exited(77)), expected);
        let expected = Outcome::fail("ended by signal 11 (SIGSEGV)").with("returncode", -11);
        assert_eq!(outcome(killed(11)), expected);
        let expected = Outcome::skip("ended by signal 15 (SIGTERM)").with("returncode", -15);
        assert_eq!(outcome(killed(15)), expected);
    }

    #[test]
    fn unknown_ending_is_an_error_of_the_infrastructure() {
        let outcome = outcome(Exit::new(Ending::Unknown));
        let reason = "the program ended, and its environment cannot say how";
        assert_eq!(outcome, Outcome::infrastructure(reason));
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
            let error = ExecTest::commands(&task().setting(SKIP.key(), wrong)).unwrap_err();
            assert_eq!(
                error.message,
                "runner.exectest.exitcodes.skip must be a list of whole numbers"
            );
        }
    }
}
