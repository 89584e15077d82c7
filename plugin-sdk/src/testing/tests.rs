#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic
)]

mod clock;
mod faults;
mod limits;

use super::{Answer, Artifacts, Files, Host, Processes, Reports};
use crate::error::Error;
use crate::fetch::{self, Source};
use crate::log::Level;
use crate::process::{Command, Input, Output, Pipe};
use crate::workspace::FileKind;
use crate::{artifacts, messages, process, report_output, workspace};
use std::io::Write;

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().code
}

#[test]
fn project_files_are_listed_and_read() {
    let files = Files::new()
        .file("b/c/d.py", "x = 1")
        .executable("./a.sh", "#!")
        .other("b/pipe");
    let _host = Host::new().files(files.file("/elsewhere/e", "e")).install();
    let root = workspace::list_directory(".").unwrap();
    assert_eq!(
        root,
        [
            ("a.sh".into(), FileKind::File),
            ("b".into(), FileKind::Directory)
        ]
    );
    let below = workspace::list_directory("b/").unwrap();
    assert_eq!(
        below,
        [
            ("c".into(), FileKind::Directory),
            ("pipe".into(), FileKind::Other)
        ]
    );
    assert_eq!(workspace::read("b//c/./d.py", 2, 2).unwrap(), b"= ");
    assert_eq!(workspace::read("b/c/d.py", 9, 2).unwrap(), b"");
    assert_eq!(workspace::read("/elsewhere/e", 0, 9).unwrap(), b"e");
    assert!(workspace::stat("a.sh").unwrap().executable);
    assert_eq!(workspace::stat("b/c/d.py").unwrap().size, 5);
    assert_eq!(code(workspace::read("b", 0, 1)), "invalid");
    assert_eq!(code(workspace::list_directory("a.sh")), "not-found");
    assert_eq!(code(workspace::stat("../x")), "not-permitted");
    assert_eq!(code(workspace::stat("x")), "not-found");
}

#[test]
fn paths_lead_out_of_the_project_as_in_a_file_system() {
    let _host = Host::new()
        .files(Files::new().file("b/c/d.py", "x"))
        .install();
    assert_eq!(workspace::read("b/c/../../b/c/d.py", 0, 9).unwrap(), b"x");
    let root = workspace::list_directory("b/..").unwrap();
    assert_eq!(root, [("b".into(), FileKind::Directory)]);
    assert_eq!(code(workspace::stat("a/../b")), "not-found");
    assert_eq!(code(workspace::stat("b/../../b")), "not-permitted");
    assert_eq!(code(workspace::stat("/etc/passwd")), "not-permitted");
    assert_eq!(code(workspace::list_directory("/etc")), "not-permitted");
}

#[test]
fn output_of_a_process_goes_where_the_command_directs_it() {
    let answer = Answer::code(4).stdout("out").stderr("err").report("fd 3");
    let host = Host::new().processes(Processes::always(answer)).install();
    let command = Command::new("t")
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stdout"));
    assert_eq!(process::run(&command).unwrap().code(), Some(4));
    assert_eq!(host.artifact("stdout").unwrap(), b"outerr");
    assert_eq!(artifacts::read("stdout", 2, 2).unwrap(), b"te");

    let child = process::start(
        &Command::new("t")
            .stdin(Input::Pipe)
            .stdout(Output::Pipe)
            .report(Output::Pipe),
    )
    .unwrap();
    assert_eq!(child.read(Pipe::Stdout, 2).unwrap(), b"ou");
    assert_eq!(child.read(Pipe::Stdout, 2).unwrap(), b"t");
    assert_eq!(child.read(Pipe::Report, 9).unwrap(), b"fd 3");
    assert_eq!(code(child.read(Pipe::Stderr, 9)), "invalid");
    child.write(b"in").unwrap();
    child.close_stdin().unwrap();
    assert_eq!(code(child.write(b"more")), "closed");
    child.signal(10).unwrap();
    assert_eq!(code(child.signal(0)), "invalid");
    assert_eq!(code(child.signal(32)), "invalid", "it has no name");
    assert_eq!(
        child.read(Pipe::Stdout, 2).unwrap(),
        b"",
        "the pipe ends with the process"
    );
    assert_eq!(code(child.signal(15)), "closed");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(host.stdin(1).unwrap(), (b"in".to_vec(), true));
    assert_eq!(host.signals(1), [10]);
    assert_eq!(host.commands().len(), 2);
    assert_eq!(
        code(process::run(&Command::new("t").stdout(Output::Pipe))),
        "invalid"
    );
    assert_eq!(
        code(process::run(
            &Command::new("t").stdout(Output::file("../t"))
        )),
        "invalid"
    );
}

#[test]
fn standard_input_that_is_not_a_pipe_is_closed() {
    let host = Host::new().processes(Processes::always(Answer::code(0)));
    let _host = host.install();
    let child = process::start(&Command::new("t")).unwrap();
    assert_eq!(code(child.write(b"in")), "closed");
    assert_eq!(child.close_stdin(), Ok(()));
}

#[test]
fn process_that_has_ended_reads_no_input() {
    let host = Host::new().processes(Processes::always(Answer::code(0)));
    let _host = host.install();
    let child = process::start(&Command::new("t").stdin(Input::Pipe)).unwrap();
    child.write(b"in").unwrap();
    child.wait().unwrap();
    assert_eq!(code(child.write(b"more")), "closed");
}

#[test]
fn commands_that_make_no_sense_are_invalid() {
    let host = Host::new().processes(Processes::always(Answer::code(0)));
    let _host = host.install();
    let command = || Command::new("t");
    for wrong in [
        Command::new(""),
        command().arg("a\0"),
        command().env("A=B", "c"),
        command().env("", "c"),
        command().stdout(Output::WithStdout),
        command().report(Output::WithStdout),
        command().report_socket(),
        command().with("report-socket", 1),
        command().terminal(24, 80).stderr(Output::Discard),
        command().terminal(24, 80).stdin(Input::file("answers")),
        command().with("terminal", true),
    ] {
        assert_eq!(code(process::run(&wrong)), "invalid", "{wrong:?}");
        assert_eq!(code(process::start(&wrong)), "invalid", "{wrong:?}");
    }
    for right in [
        command().report_socket().report(Output::file("report")),
        command().terminal(24, 80),
        command().with("report-socket", false),
    ] {
        process::run(&right).unwrap();
    }
}

#[test]
fn names_of_files_are_those_of_the_host() {
    let _host = Host::new().install();
    let long = "a".repeat(256);
    for wrong in ["", ".a", "a/b", "a\n", "a\u{202e}b", &long] {
        assert_eq!(code(artifacts::write(wrong, b"")), "invalid", "{wrong:?}");
        assert_eq!(code(artifacts::read(wrong, 0, 1)), "invalid", "{wrong:?}");
        assert_eq!(code(crate::cache::put(wrong, b"")), "invalid", "{wrong:?}");
    }
    artifacts::write(&long[..255], b"").unwrap();
}

#[test]
fn sources_that_cannot_be_understood_are_invalid() {
    let _host = Host::new().download("a", "12345").install();
    let source = || Source::new(["a"]);
    for wrong in [
        source().checksum("sha256:12"),
        source().checksum("md5:12"),
        source().checksum("12"),
        source().with("max-bytes", -1),
        source().with("max-age", "1 h"),
    ] {
        assert_eq!(code(fetch::fetch(&wrong)), "invalid", "{wrong:?}");
    }
    let small = source().with("max-bytes", 4);
    assert_eq!(code(fetch::fetch(&small)), "too-large");
    fetch::fetch(&source().with("max-bytes", 5)).unwrap();
}

#[test]
fn long_list_of_files_comes_in_pages() {
    let files = (0..5000).map(|number| format!("{number:05}"));
    let artifacts = files.fold(Artifacts::new(), |all, name| all.file(name, "x"));
    let _host = Host::new().artifacts(artifacts).install();
    let first = artifacts::list_page(None).unwrap();
    assert_eq!(first.entries.len(), 4096);
    let cursor = first.cursor.unwrap();
    let second = artifacts::list_page(Some(&cursor)).unwrap();
    assert_eq!((second.entries.len(), second.cursor), (904, None));
    assert_eq!(second.entries[0].name, "04096");
    for wrong in ["", "00001", "after:", "after:../a"] {
        assert_eq!(
            code(artifacts::list_page(Some(wrong))),
            "invalid",
            "{wrong}"
        );
    }
}

#[test]
fn without_fakes_there_are_no_files_and_programs() {
    assert_eq!(code(process::run(&Command::new("true"))), "not-found");
    assert_eq!(code(workspace::stat("Cargo.toml")), "not-found");
    assert_eq!(code(artifacts::read("stdout", 0, 1)), "not-found");
}

#[test]
fn report_is_opened_once_and_can_be_overwritten() {
    let artifacts = Artifacts::new().task_file("1-a", "stderr", "oops");
    let host = Host::new().artifacts(artifacts).install();
    let mut report = report_output::open().unwrap();
    assert_eq!(code(report_output::open()), "invalid");
    write!(report, "total: {:3}", 0).unwrap();
    report.overwrite(7, b" 12").unwrap();
    assert_eq!(code(report.overwrite(9, b"12")), "invalid");
    assert_eq!(host.report().unwrap(), b"total:  12");
    assert_eq!(artifacts::of_task("1-a").size("stderr").unwrap(), 4);
    assert_eq!(
        artifacts::of_task("1-a").read("stderr", 1, 9).unwrap(),
        b"ops"
    );
    assert_eq!(code(artifacts::of_task("2-b").size("stderr")), "not-found");

    let inner = Host::new().reports(Reports::stream()).install();
    assert_eq!(
        code(report_output::open().unwrap().overwrite(0, b"")),
        "unsupported"
    );
    drop(inner);
    assert_eq!(
        host.report().unwrap(),
        b"total:  12",
        "the outer fakes are in effect again"
    );
}

#[test]
fn messages_and_files_of_a_task_are_recorded() {
    let host = Host::new().install();
    messages::progress("half").unwrap();
    messages::whiteboard("a").unwrap();
    messages::whiteboard("b").unwrap();
    artifacts::write("core", b"\x7f").unwrap();
    crate::log::log(Level::Info, "hello");
    assert_eq!(host.progress(), ["half"]);
    assert_eq!(host.whiteboard(), "ab");
    assert_eq!(host.artifact("core").unwrap(), b"\x7f");
    assert_eq!(host.log(), [(Level::Info, "hello".into())]);
}
