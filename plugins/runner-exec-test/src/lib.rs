//! The runner for the kind `exec-test`: any program, judged by its exit code. Its output goes by descriptor into the files
//! `stdout` and `stderr` of the task; no byte of it passes through here. How a program is started is `persea-exec-command`.

use persea_exec_command::{CLEAR_ENV, command, in_words, launch, return_code};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Output};

/// The exit codes (json, a list of whole numbers; a signal counts below zero) with which a test says that it doesn't apply.
const SKIP: &str = "runner.exectest.exitcodes.skip";

struct ExecTest;

impl Runner for ExecTest {
    fn describe() -> Description {
        Description::new("exec-test", "runs a program, which passes with exit code 0")
            .kinds(["exec-test"])
            .settings([CLEAR_ENV, SKIP])
            .with("one-process", true)
    }

    fn run(task: Task) -> Result<Outcome, Error> {
        let skip = skip_codes(&task.settings)?;
        let command = command(&task)?
            .stdout(Output::file("stdout"))
            .stderr(Output::file("stderr"));
        let exit = match launch(command, process::run) {
            Ok(exit) => exit,
            Err(error) => return Ok(Outcome::error(error.message)),
        };
        let code = return_code(&exit);
        let outcome = if skip.contains(&code) {
            Outcome::skip(in_words(&exit))
        } else if code == 0 {
            Outcome::pass()
        } else {
            Outcome::fail(in_words(&exit))
        };
        Ok(outcome.with("returncode", code))
    }
}

fn skip_codes(settings: &Attributes) -> Result<Vec<i64>, Error> {
    match settings.get(SKIP) {
        None | Some(Value::None) => Some(Vec::new()),
        Some(Value::Json(text)) => serde_json::from_str(text).ok(),
        Some(_) => None,
    }
    .ok_or_else(|| {
        Error::new(
            "invalid",
            format!("{SKIP} is a list of whole numbers, as [77]"),
        )
    })
}

export!(runner: ExecTest);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_plugin_sdk::testing::{Answer, Host, Processes};

    fn task() -> Task {
        Task::new(
            "1-./t.sh",
            Runnable::new("exec-test").uri("./t.sh").args(["-v"]),
        )
    }

    fn outcome(answer: Answer) -> Outcome {
        let _host = Host::new().processes(Processes::always(answer)).install();
        ExecTest::run(task().setting(SKIP, Value::json("[77, -15]"))).unwrap()
    }

    #[test]
    fn the_exit_code_decides() {
        let expected = Outcome::pass().with("returncode", 0);
        assert_eq!(outcome(Answer::code(0)), expected);
        let expected = Outcome::fail("exited with code 3").with("returncode", 3);
        assert_eq!(outcome(Answer::code(3)), expected);
        let expected = Outcome::skip("exited with code 77").with("returncode", 77);
        assert_eq!(outcome(Answer::code(77)), expected);
        let expected = Outcome::fail("ended by signal 11 (SIGSEGV)").with("returncode", -11);
        assert_eq!(outcome(Answer::signal(11)), expected);
        let expected = Outcome::skip("ended by signal 15 (SIGTERM)").with("returncode", -15);
        assert_eq!(outcome(Answer::signal(15)), expected);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_an_error() {
        let expected = Outcome::error("[Errno 2] No such file or directory: './t.sh'");
        assert_eq!(outcome(Answer::missing()), expected);
    }

    #[test]
    fn output_goes_into_files_in_one_call() {
        let answer = Answer::code(0).stdout("out").stderr("err");
        let host = Host::new().processes(Processes::always(answer)).install();
        ExecTest::run(task()).unwrap();
        assert_eq!(host.artifact("stdout").unwrap(), b"out");
        assert_eq!(host.artifact("stderr").unwrap(), b"err");
        assert_eq!(host.commands().len(), 1);
        assert_eq!(host.commands().first().unwrap().args, ["-v"]);
    }

    #[test]
    fn a_setting_that_is_no_list_of_codes_is_an_error() {
        for wrong in [Value::json("[1.5]"), Value::json("{}"), Value::Integer(77)] {
            let error = ExecTest::run(task().setting(SKIP, wrong)).unwrap_err();
            assert_eq!(
                error.message,
                "runner.exectest.exitcodes.skip is a list of whole numbers, as [77]"
            );
        }
    }
}
