//! Owns a runner; the README of the corpus says what it does.
use std::time::Duration;

use common::{PAUSE, WORD, code, description, sh};
use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::poll::{self, Interest};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Input, Output, Pipe};
use persea_plugin_sdk::{artifacts, log, messages, monotonic_clock};

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::runner(["corpus"]))
    }
}

impl Runner for Corpus {
    fn run(task: Task) -> Result<Outcome, Error> {
        run(&task)
    }
}

/// Runs a task of the kind `corpus`.
fn run(task: &Task) -> Result<Outcome, Error> {
    match task.runnable.uri.as_deref() {
        Some("fail") => Ok(Outcome::fail("it failed").with("class-name", "corpus")),
        Some("error") => Err(Error::new("io", "it went wrong")),
        Some("powers") => use_powers(task),
        Some("streams") => use_streams(),
        _ => Ok(Outcome::pass()),
    }
}

/// Tries every power of a runner, and writes what came of it to the whiteboard.
fn use_powers(task: &Task) -> Result<Outcome, Error> {
    messages::progress("about to begin")?;
    cases::start(["suite", "one"])?;
    cases::finish([
        Case::new(["suite", "one"], Status::Pass).duration(Duration::from_nanos(1000)),
        Case::new(["suite", "two"], Status::Skip).reason("not here"),
    ])?;

    let both = sh(
        r#"echo "out $CORPUS_SET${CORPUS_UNSET-}"; echo err >&2"#,
        &[],
    );
    let both = both
        .stdout(Output::file("stdout"))
        .stderr(Output::WithStdout);
    let ran = code(&process::run(&both)?);
    let taken = sh("cat", &[])
        .stdin(Input::bytes("given"))
        .stdout(Output::file("taken"));
    let taken = code(&process::run(&taken)?);

    let echo = sh("cat; exit 3", &[])
        .stdin(Input::Pipe)
        .stdout(Output::Pipe);
    let child = process::start(&echo)?;
    child.write(WORD.get(&task.settings).as_bytes())?;
    child.close_stdin()?;
    let pollable = poll::watch(&child, Interest::Readable(Pipe::Stdout))?;
    let mut echoed = Vec::new();
    let ready = loop {
        let ready = poll::poll(&[&pollable], None)?;
        let part = child.read(Pipe::Stdout, 100)?;
        if part.is_empty() {
            break ready;
        }
        echoed.extend(part);
    };
    drop(pollable);
    let ended = code(&child.wait()?);

    artifacts::write("note.txt", &echoed)?;
    let size = artifacts::size("note.txt")?;
    let note = artifacts::read("note.txt", 0, 100)?;
    let note = String::from_utf8_lossy(&note);
    let files: Vec<String> = artifacts::list()?
        .into_iter()
        .map(|file| file.name)
        .collect();
    let absent = match artifacts::read("absent", 0, 1) {
        Ok(_) => "found".to_owned(),
        Err(error) => error.code,
    };
    let deadline = monotonic_clock::deadline();
    let in_time = deadline.is_some_and(|deadline| monotonic_clock::now() < deadline);
    messages::whiteboard(&format!(
        "ran={ran} taken={taken} echoed={note} size={size} ended={ended} ready={ready:?}\n\
         files={} absent={absent} in-time={in_time} pause={}\n",
        files.join(","),
        PAUSE.get(&task.settings).as_nanos()
    ))?;
    Ok(Outcome::pass().with("returncode", ran))
}

/// A program that writes to the socket for its report.
const CONNECT: &str = "import os, socket\n\
                       connection = socket.socket(socket.AF_UNIX)\n\
                       connection.connect(os.environ['PERSEA_REPORT_SOCKET'])\n\
                       connection.sendall(b'by socket\\n')\n";

/// Reads a pipe of a process to its end, and the exit code.
fn finish(child: &Child, pipe: Pipe) -> Result<String, Error> {
    let mut all = Vec::new();
    loop {
        let part = child.read(pipe, 100)?;
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    let ended = code(&child.wait()?);
    let text = String::from_utf8_lossy(&all).into_owned();
    Ok(format!("{:?} {ended}", text.replace('\r', "")))
}

/// Tries what a process can have beside pipes of its own, and writes what came of it to the
/// whiteboard.
fn use_streams() -> Result<Outcome, Error> {
    log::log(log::Level::Warn, "logged by the corpus");

    let input = sh("cat", &[]).stdin(Input::file("source.txt"));
    let input = code(&process::run(&input.stdout(Output::file("input")))?);

    let sleep = process::start(&sh("exec sleep 1000", &[]))?;
    let has_id = sleep.id().is_some_and(|id| id > 0);
    sleep.signal(15)?;
    let signal = sleep.wait()?.signal().unwrap_or(-1);

    let report = sh(r#"echo "by $PERSEA_REPORT_FD" >&3"#, &[]).report(Output::Pipe);
    let report = finish(&process::start(&report)?, Pipe::Report)?;

    let socket = Command::new("python3").args(["-c", CONNECT]);
    let socket = socket.report(Output::Pipe).report_socket();
    let socket = finish(&process::start(&socket)?, Pipe::Report)?;

    let terminal = sh("stty size; test -t 2 && echo on a terminal", &[]).terminal(30, 90);
    let terminal = terminal.stdout(Output::Pipe);
    let terminal = finish(&process::start(&terminal)?, Pipe::Stdout)?;

    messages::whiteboard(&format!(
        "input={input} id={has_id} signal={signal}\n\
         report={report}\nsocket={socket}\nterminal={terminal}\n"
    ))?;
    Ok(Outcome::pass())
}

export!(Corpus: runner);
