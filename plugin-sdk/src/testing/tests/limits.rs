//! The limits of the fakes: what is at a limit is taken, and more is refused with the host's code.

use super::code;
use crate::cases::{self, Case};
use crate::fetch::{self, Source};
use crate::log::{Level, log};
use crate::model::{Runnable, Status};
use crate::poll::{self, Interest};
use crate::process::{self, Command, Input};
use crate::runner::Task;
use crate::testing::{Answer, Files, Host, Installed, Limits, Processes};
use crate::varianter::Variation;
use crate::{artifacts, backend, cache, messages, pages, report_output, workspace};

/// Installs fakes with limits that differ from the host's, and a process that ends at once.
fn with(change: impl FnOnce(&mut Limits)) -> Installed {
    let mut limits = Limits::default();
    change(&mut limits);
    let processes = Processes::always(Answer::code(0));
    Host::new()
        .processes(processes)
        .files(Files::new().file("d/a", "").file("d/b", "").file("e/a", ""))
        .download("file", "x")
        .tasks([(); 2].map(|()| Task::new("1-t", Runnable::new("t"))))
        .limits(limits)
        .install()
}

#[test]
fn messages_of_a_task_are_counted_together() {
    let _host = with(|limits| limits.status_messages = 3);
    messages::progress("a").unwrap();
    messages::whiteboard("a").unwrap();
    artifacts::write("a", b"a").unwrap();
    assert_eq!(code(messages::progress("a")), "limit");
    assert_eq!(code(messages::whiteboard("a")), "limit");
    assert_eq!(code(artifacts::write("a", b"a")), "limit");
    cases::start(["a"]).unwrap();
}

#[test]
fn starts_and_ends_of_cases_are_counted_together_and_apart_from_messages() {
    let _host = with(|limits| limits.cases = 2);
    cases::start(["a"]).unwrap();
    cases::finish([Case::new(["a"], Status::Pass)]).unwrap();
    assert_eq!(code(cases::start(["a"])), "limit");
    let finished = cases::finish([Case::new(["a"], Status::Pass)]);
    assert_eq!(code(finished), "limit");
    messages::progress("a").unwrap();
}

#[test]
fn bytes_of_messages_are_limited_with_what_each_message_costs() {
    let host = with(|limits| limits.status_bytes = 200);
    messages::progress("a").unwrap();
    messages::whiteboard(&"b".repeat(71)).unwrap();
    assert_eq!(code(messages::whiteboard("c")), "limit");
    assert_eq!(host.whiteboard(), "b".repeat(71));
    assert_eq!(code(artifacts::write("a", b"")), "limit");
}

#[test]
fn cases_cost_their_path_reason_and_data() {
    let case = || Case::new(["a"], Status::Fail);
    for (more, case) in [
        (0, case()),
        (10, case().reason("r".repeat(10))),
        (10, case().with("name", "123456")),
    ] {
        let cost = 64 + 24 + 1 + more;
        let _host = with(|limits| limits.case_bytes = cost);
        cases::finish([case.clone()]).unwrap();
        let _host = with(|limits| limits.case_bytes = cost - 1);
        assert_eq!(code(cases::finish([case])), "limit");
    }
}

#[test]
fn paths_of_cases_are_limited_and_cases_before_a_wrong_one_are_taken() {
    let host = with(|_| {});
    let deep = vec!["x"; 65];
    let long = vec!["x".repeat(4097)];
    assert_eq!(code(cases::start(deep.clone())), "invalid");
    assert_eq!(code(cases::start(long.clone())), "invalid");
    assert_eq!(code(cases::start([""; 0])), "invalid");
    cases::start(vec!["x"; 64]).unwrap();
    cases::start([["x".repeat(4096)]].concat()).unwrap();
    let cases = [
        Case::new(["first"], Status::Pass),
        Case::new(deep, Status::Pass),
        Case::new(["last"], Status::Pass),
    ];
    assert_eq!(code(cases::finish(cases)), "invalid");
    let taken: Vec<_> = host.cases().into_iter().map(|case| case.path).collect();
    assert_eq!(taken, [["first"]]);
}

#[test]
fn reasons_of_cases_are_cut_between_characters() {
    let host = with(|_| {});
    let reason = format!("x{}", "ü".repeat(40_000));
    cases::finish([Case::new(["a"], Status::Fail).reason(reason)]).unwrap();
    let reason = host.cases().pop().unwrap().reason.unwrap();
    assert_eq!(reason.len(), (64 << 10) - 1);
}

#[test]
fn values_that_are_not_valid_are_refused() {
    let _host = with(|_| {});
    for wrong in [
        crate::Value::Number(f64::NAN),
        crate::Value::Number(f64::INFINITY),
        crate::Value::json("7"),
    ] {
        let case = Case::new(["a"], Status::Pass).with("data", wrong.clone());
        assert_eq!(code(cases::finish([case])), "invalid");
        let runnable = Runnable::new("t").kwarg("data", wrong);
        assert_eq!(code(pages::add_runnables([runnable])), "invalid");
    }
}

#[test]
fn log_drops_all_messages_after_its_limits() {
    let host = with(|limits| limits.log_messages = 2);
    for message in ["a", "b", "c"] {
        log(Level::Info, message);
    }
    assert_eq!(host.log().len(), 2);
    let host = with(|limits| limits.log_bytes = 40);
    for message in ["1234", "too long for it", "a"] {
        log(Level::Info, message);
    }
    assert_eq!(host.log(), [(Level::Info, "1234".to_owned())]);
}

#[test]
fn each_task_of_a_batch_has_its_own_limits() {
    let host = with(|limits| {
        limits.status_messages = 1;
        limits.cases = 1;
        limits.log_messages = 1;
    });
    for _ in 0..2 {
        backend::take_task().unwrap().unwrap();
        messages::progress("a").unwrap();
        assert_eq!(code(messages::progress("a")), "limit");
        cases::start(["a"]).unwrap();
        assert_eq!(code(cases::start(["a"])), "limit");
        log(Level::Info, "a");
        log(Level::Info, "b");
        assert_eq!(code(backend::take_task()), "invalid");
        backend::finish_task(crate::Outcome::pass()).unwrap();
    }
    assert_eq!(host.log().len(), 2);
    assert!(backend::take_task().unwrap().is_none());
    assert_eq!(code(messages::progress("a")), "limit", "no task is taken");
    let finished = backend::finish_task(crate::Outcome::pass());
    assert_eq!(code(finished), "invalid");
}

#[test]
fn handles_are_limited_until_they_are_dropped() {
    let _host = with(|limits| limits.handles = 2);
    let start = || process::start(&Command::new("t"));
    let first = start().unwrap();
    let _second = start().unwrap();
    assert_eq!(code(start()), "limit");
    // A process that is waited for at once needs no handle.
    process::run(&Command::new("t")).unwrap();
    drop(first);
    start().unwrap();
}

#[test]
fn pollables_are_limited_until_they_are_dropped() {
    let _host = with(|limits| limits.pollables = 2);
    let child = process::start(&Command::new("t")).unwrap();
    let watch = || poll::watch(&child, Interest::Ended);
    let first = watch().unwrap();
    let _second = watch().unwrap();
    assert_eq!(code(watch()), "limit");
    let often = |times| poll::poll(&vec![&first; times], None);
    assert_eq!(often(1024).unwrap().len(), 1024);
    assert_eq!(code(often(1025)), "invalid");
    drop(first);
    watch().unwrap();
}

#[test]
fn downloads_are_limited_until_they_are_dropped() {
    let _host = with(|limits| limits.downloads = 1);
    let fetch = || fetch::fetch(&Source::new(["file"]));
    let first = fetch().unwrap();
    assert_eq!(code(fetch()), "limit");
    drop(first);
    fetch().unwrap();
}

#[test]
fn pages_are_limited_in_sum() {
    let host = with(|limits| {
        limits.page_runnables = 3;
        limits.page_variations = 2;
    });
    let runnables = |count| vec![Runnable::new("t"); count];
    pages::add_runnables(runnables(2)).unwrap();
    pages::add_runnables(runnables(1)).unwrap();
    assert!(!host.is_page_refused());
    assert_eq!(code(pages::add_runnables(runnables(1))), "limit");
    assert!(host.is_page_refused());
    assert_eq!(host.runnables().len(), 3);
    let variations = |count| vec![Variation::new(); count];
    pages::add_variations(variations(2)).unwrap();
    assert_eq!(code(pages::add_variations(variations(1))), "limit");
    assert_eq!(host.pages(), [2, 1, 2]);
}

#[test]
fn cache_is_limited_by_names_and_by_bytes() {
    let _host = with(|limits| {
        limits.cache_names = 1;
        limits.cache_bytes = 2;
    });
    cache::put("a", b"12").unwrap();
    assert_eq!(code(cache::put("a", b"123")), "too-large");
    assert_eq!(code(cache::put("b", b"1")), "limit");
    cache::put("a", b"3").unwrap();
    assert_eq!(cache::get("a").unwrap(), b"3");
}

#[test]
fn long_directories_are_too_large() {
    let _host = with(|limits| limits.directory_entries = 1);
    assert_eq!(workspace::list_directory("e").unwrap().len(), 1);
    assert_eq!(code(workspace::list_directory("d")), "too-large");
}

#[test]
fn report_is_limited() {
    let host = with(|limits| limits.report_bytes = 3);
    let report = report_output::open().unwrap();
    report.append(b"12").unwrap();
    assert_eq!(code(report.append(b"34")), "limit");
    report.append(b"3").unwrap();
    report.overwrite(0, b"x").unwrap();
    assert_eq!(host.report().unwrap(), b"x23");
}

#[test]
fn commands_are_limited() {
    let host = with(|_| {});
    let command = || Command::new("t");
    let variables = |count: u32| {
        let names = (0..count).map(|number| format!("V{number}"));
        names.fold(command(), |command, name| command.env(name, ""))
    };
    for (right, wrong) in [
        (
            command().args(vec!["a"; 1 << 16]),
            command().args(vec!["a"; (1 << 16) + 1]),
        ),
        (variables(4096), variables(4097)),
        (
            command().stdin(Input::bytes(vec![0; 16 << 20])),
            command().stdin(Input::bytes(vec![0; (16 << 20) + 1])),
        ),
    ] {
        process::run(&right).unwrap();
        assert_eq!(code(process::run(&wrong)), "invalid");
    }
    assert_eq!(host.commands().len(), 3);
}
