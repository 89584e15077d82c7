//! One plugin with four roles, for test programs that list their tests with `--list` and run the
//! test that their argument names.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command, Output};
use persea_plugin_sdk::report_output::{self, Report};
use persea_plugin_sdk::{artifacts, workspace};

/// The end of the names of test programs.
const END: &str = ".suite";
const KIND: &str = "suite";

struct Suite;

impl Plugin for Suite {
    fn describe() -> Description {
        Description::new("suite", "test programs that list their tests")
            .role(Role::resolver([KIND]))
            .role(Role::lister([KIND]))
            .role(Role::runner([KIND]))
            .role(Role::result_format().with("file", "results.suite"))
    }
}

/// A file of the project becomes one runnable, which stands for all of its tests.
impl Resolver for Suite {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let path = request.reference.as_str();
        if !path.ends_with(END) {
            return Ok(Resolution::not_found(format!("{path} is no {END}")));
        }
        if !workspace::stat(path)?.executable {
            return Ok(Resolution::corrupt(format!("{path} is not executable")));
        }
        Ok(Resolution::found([
            Runnable::new(KIND).uri(format!("./{path}"))
        ]))
    }
}

/// The program names its tests, each of which becomes a runnable of its own.
impl Lister for Suite {
    fn list_tests(task: &Task) -> Result<Listing, Error> {
        let path = path(task)?;
        let list = Command::new(path).args(["--list"]);
        let exit = process::run(&list.stdout(Output::file("tests")))?;
        if !exit.success() {
            return Err(Error::new("invalid", format!("{path} --list failed")));
        }
        let size = artifacts::size("tests")?;
        let names = artifacts::read("tests", 0, u32::try_from(size).unwrap_or(u32::MAX))?;
        let test = |name: &str| {
            let runnable = Runnable::new(KIND).uri(path).args([name]);
            runnable.identifier(format!("{path}:{name}"))
        };
        let names = String::from_utf8_lossy(&names);
        let tests: Vec<Runnable> = names.lines().map(test).collect();
        // The host asks again when the program changes.
        Ok(Listing::new(tests).depends_on([path.trim_start_matches("./")]))
    }
}

/// A listed test has its name as the argument.
impl Runner for Suite {
    fn run(task: Task) -> Result<Outcome, Error> {
        let command = Command::new(path(&task)?).args(&task.runnable.args);
        let exit = process::run(&command.stdout(Output::file("stdout")))?;
        Ok(match exit.code() {
            Some(0) => Outcome::pass(),
            Some(code) => Outcome::fail(format!("exit code {code}")),
            None => Outcome::error("the program did not exit"),
        })
    }
}

fn path(task: &Task) -> Result<&str, Error> {
    let uri = task.runnable.uri.as_deref();
    uri.ok_or_else(|| Error::new("invalid", "kind suite needs a program as its uri"))
}

/// A line for each test.
struct Lines(Report);

impl ResultFormat for Lines {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        Ok(Self(report_output::open()?))
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if event.kind != "task-finished" {
            return Ok(());
        }
        let field = |name| event.data.text(name).unwrap_or_default();
        let line = format!("{} {}\n", field("status"), field("name"));
        self.0.append(line.as_bytes())
    }
}

export!(Suite: resolver, lister, runner, result_format = Lines);

#[cfg(test)]
mod tests;
