//! Owns a component of three roles that uses in each of them the powers of the others, and writes
//! down what the host answers.
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Command};
use persea_plugin_sdk::report_output::{self, Report};
use persea_plugin_sdk::{artifacts, cases, workspace};

struct Hostile;

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("roles", "uses in each role the powers of the others")
            .role(Role::resolver(["roles"]))
            .role(Role::runner(["roles"]))
            .role(Role::result_format().with("file", "results.roles"))
    }
}

/// What the host has answered to a call, as a line.
fn line<T>(call: &str, answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => format!("{call}: done\n"),
        Err(error) => format!("{call}: {} {}\n", error.code, error.message),
    }
}

/// Runs and starts a process that makes a file in the project.
fn processes(role: &str) -> String {
    let touch = |call: &str| Command::new("touch").arg(format!("{role}-{call}"));
    let run = process::run(&touch("run"));
    let started = process::start(&touch("start")).and_then(|child| child.wait());
    line("run", run) + &line("start", started)
}

impl Resolver for Hostile {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        if !request.reference.ends_with(".roles") {
            return Ok(Resolution::not_found("no file of roles"));
        }
        let answers = processes("resolver")
            + &line("write", artifacts::write("resolver", b"written"))
            + &line("case", cases::start(["resolver"]))
            + &line("report", report_output::open())
            + &line("stat", workspace::stat(&request.reference));
        let runnable = Runnable::new("roles").uri("task");
        Ok(Resolution::found([runnable.kwarg("answers", answers)]))
    }
}

impl Runner for Hostile {
    fn run(task: Task) -> Result<Outcome, Error> {
        let answers = task.runnable.kwargs.text("answers").unwrap_or_default();
        artifacts::write("resolver-answers", answers.as_bytes())?;
        let answers = processes("runner")
            + &line("write", artifacts::write("runner", b"written"))
            + &line("case", cases::start(["runner"]))
            + &line("report", report_output::open())
            + &line("stat", workspace::stat("x.roles"));
        artifacts::write("runner-answers", answers.as_bytes())?;
        Ok(Outcome::pass())
    }
}

/// The report: what the host has answered to the format.
struct Answers(Report);

impl ResultFormat for Answers {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        Ok(Self(report_output::open()?))
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if event.kind != "task-finished" {
            return Ok(());
        }
        let answers = processes("format")
            + &line("write", artifacts::write("format", b"written"))
            + &line("case", cases::start(["format"]))
            + &line("stat", workspace::stat("x.roles"));
        self.0.append(answers.as_bytes())
    }
}

export!(Hostile: resolver, runner, result_format = Answers);
