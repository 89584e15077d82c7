//! Failures that a test asks for: each function that can fail in the contract can be made to fail,
//! from any call on.

use crate::cases::{self, Case};
use crate::error::Error;
use crate::fetch::{self, Source};
use crate::model::Status;
use crate::poll::{self, Interest};
use crate::process::{self, Child, Command, Input, Output, Pipe};
use crate::runner::{Outcome, Task};
use crate::testing::limits::FUNCTIONS;
use crate::testing::{Answer, Artifacts, Files, Host, Processes};
use crate::{Batch, artifacts, backend, cache, messages, pages, report_output, workspace};
use std::time::Duration;

fn start() -> Result<Child, Error> {
    let command = Command::new("t").stdin(Input::Pipe).stdout(Output::Pipe);
    process::start(&command)
}

/// Calls a function of the contract, and whatever it needs before it.
fn call(function: &str) -> Result<(), Error> {
    match function {
        "workspace.stat" => workspace::stat("a").map(drop),
        "workspace.list-directory" => workspace::list_directory(".").map(drop),
        "workspace.read" => workspace::read("a", 0, 1).map(drop),
        "process.run" => process::run(&Command::new("t")).map(drop),
        "process.start" => start().map(drop),
        "process.child.read" => start()?.read(Pipe::Stdout, 1).map(drop),
        "process.child.write" => start()?.write(b"in"),
        "process.child.close-stdin" => start()?.close_stdin(),
        "process.child.signal" => start()?.signal(10),
        "process.child.wait" => start()?.wait().map(drop),
        "messages.progress" => messages::progress("half"),
        "messages.whiteboard" => messages::whiteboard("text"),
        "artifacts.write" => artifacts::write("file", b"x"),
        "artifacts.read" => artifacts::read("old", 0, 1).map(drop),
        "artifacts.size" => artifacts::size("old").map(drop),
        "artifact-list.list-artifacts" => artifacts::list().map(drop),
        "cases.start" => cases::start(["a"]),
        "cases.finish" => cases::finish([Case::new(["a"], Status::Pass)]),
        "poll.watch" => poll::watch(&start()?, Interest::Ended).map(drop),
        "poll.poll" => poll::poll(&[], Some(Duration::ZERO)).map(drop),
        "pages.add-runnables" => pages::add_runnables([]),
        "pages.add-variations" => pages::add_variations([]),
        "batch.take-task" => backend::take_task().map(drop),
        "batch.finish-task" => {
            backend::take_task()?;
            backend::finish_task(Outcome::pass())
        }
        "batch.fail-task" => {
            backend::take_task()?;
            backend::fail_task(Error::new("io", "lost"))
        }
        "fetch.fetch" => fetch::fetch(&Source::new(["file"])).map(drop),
        "fetch.download.read" => fetch::fetch(&Source::new(["file"]))?.read(0, 1).map(drop),
        "cache.get" => {
            cache::put("name", b"x")?;
            cache::get("name").map(drop)
        }
        "cache.put" => cache::put("name", b"x"),
        "report-output.open-report" => report_output::open().map(drop),
        // The report is opened once, and the handle is lent to each call.
        "report-output.report.append" => backend::report_append(&backend::Report, b"x"),
        "report-output.report.overwrite" => backend::report_overwrite(&backend::Report, 0, b""),
        other => panic!("this test does not call {other}"),
    }
}

fn host() -> Host {
    Host::new()
        .files(Files::new().file("a", "x"))
        .artifacts(Artifacts::new().file("old", "x"))
        .processes(Processes::always(Answer::code(0).stdout("out")))
        .download("file", "x")
        .tasks([Task::new("1-t", crate::Runnable::new("t"))])
}

#[test]
fn every_function_works_without_a_fault_and_fails_with_one() {
    for function in FUNCTIONS {
        let _host = host().install();
        assert_eq!(call(function), Ok(()), "{function}");
        let fault = Error::new("staged", "as the test wants").with("number", 7);
        let _host = host().fault(function, fault.clone()).install();
        assert_eq!(call(function), Err(fault), "{function}");
    }
}

#[test]
fn fault_begins_at_the_call_that_the_test_names() {
    let fault = Error::new("io", "the disk is full");
    let host = Host::new().fault_after("artifacts.write", 2, fault.clone());
    let host = host.install();
    let written: Vec<_> = (0..5).map(|_| artifacts::write("a", b"x")).collect();
    let failed = || Err(fault.clone());
    assert_eq!(written, [Ok(()), Ok(()), failed(), failed(), failed()]);
    assert_eq!(host.artifact("a").unwrap(), b"xx", "a fault writes nothing");
}

#[test]
fn faults_are_those_of_the_installed_host_alone() {
    let outer = Host::new().fault("cache.get", Error::new("io", "outer"));
    let _outer = outer.install();
    {
        let _inner = Host::new().install();
        assert_eq!(cache::get("a").unwrap_err().code, "not-found");
    }
    assert_eq!(cache::get("a").unwrap_err().code, "io");
}

#[test]
#[should_panic(expected = "no power has a function process.explode")]
fn fault_of_an_unknown_function_is_a_bug_of_the_test() {
    let _host = Host::new().fault("process.explode", Error::new("io", "never"));
}

#[test]
fn batch_ends_with_the_fault_of_a_power() {
    let _host = host()
        .fault("batch.take-task", Error::new("not-permitted", "no"))
        .install();
    let mut batch = Batch {
        job_id: String::new(),
        more: crate::Attributes::new(),
    };
    assert_eq!(batch.take_task().unwrap_err().code, "not-permitted");
}

/// The functions of the contract's powers that return an error, as `interface.resource.function`.
fn functions_that_can_fail(wit: &str) -> Vec<String> {
    let (mut functions, mut within) = (Vec::new(), Vec::new());
    let mut text = String::new();
    let lines = wit.lines().map(str::trim);
    for line in lines.filter(|line| !line.starts_with("//") && !line.starts_with('@')) {
        text.push_str(line);
        if line.ends_with('{') {
            let words: Vec<&str> = text.split_whitespace().collect();
            within.push(words.get(1).copied().unwrap_or_default().to_owned());
            text.clear();
        } else if line.ends_with('}') {
            // Items that begin and end on one line, such as enumerations.
            if !text.contains('{') {
                within.pop();
            }
            text.clear();
        } else if line.ends_with([';', ',']) && !text.contains('(') || line.ends_with(';') {
            if let Some((name, rest)) = text.split_once(": func(")
                && rest.contains("-> result<")
            {
                functions.push(format!("{}.{name}", within.join(".")));
            }
            text.clear();
        }
    }
    functions
}

#[test]
fn every_function_of_the_contract_that_can_fail_can_be_made_to() {
    let mut contract = functions_that_can_fail(include_str!("../../../wit/powers.wit"));
    let mut faked: Vec<String> = FUNCTIONS.iter().map(|&name| name.to_owned()).collect();
    contract.sort();
    faked.sort();
    assert_eq!(contract, faked);
}
