//! Owns the steps that give a process streams: its report by descriptor and by socket, a terminal,
//! and an input from a file. What comes of it are files of the task.

use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Command, Input, Output, Pipe};

/// Reads a pipe to its end.
fn read_all(child: &Child, pipe: Pipe) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    loop {
        let piece = child.read(pipe, 1 << 16)?;
        if piece.is_empty() {
            return Ok(all);
        }
        all.extend(piece);
    }
}

/// Waits for the end of a process, which must be a success.
fn succeed(command: &Command, child: &Child) -> Result<(), Error> {
    match child.wait()? {
        exit if exit.success() => Ok(()),
        exit => {
            let message = format!("{} ended with {:?}", command.program, exit.ending);
            Err(Error::new("failed", message))
        }
    }
}

/// Does one of these steps:
///
/// * `socket`: the program `./connect` of the project writes to the report by each way, and the
///   file `report` gets what came through the pipe
/// * `socket-file`: the same, with the file `report-file` as the destination
/// * `terminal`: the file `screen` gets what a process on a terminal says about it
/// * `input`: the file `input` gets the content of the project's file `data`, and `missing` the
///   error for a file that does not exist
pub fn step(name: &str) -> Result<(), Error> {
    match name {
        "socket" => {
            let connect = Command::new("./connect").report_socket();
            let connect = connect.report(Output::Pipe).stdout(Output::file("stdout"));
            let child = process::start(&connect)?;
            let report = read_all(&child, Pipe::Report)?;
            succeed(&connect, &child)?;
            artifacts::write("report", &report)
        }
        "socket-file" => {
            let connect = Command::new("./connect").report_socket();
            let connect = connect.report(Output::file("report-file"));
            succeed(&connect, &process::start(&connect)?)
        }
        "terminal" => {
            let script = "stty size; stty -echo; test -t 0 && test -t 1 && test -t 2 && echo all; \
                          echo ready >&2; read line; echo \"read $line\"";
            let shell = Command::new("sh").args(["-c", script]).terminal(30, 90);
            let shell = shell.stdin(Input::Pipe).stdout(Output::Pipe);
            let child = process::start(&shell)?;
            let mut screen = Vec::new();
            while !screen.ends_with(b"ready\r\n") {
                let piece = child.read(Pipe::Stdout, 1 << 16)?;
                if piece.is_empty() {
                    break;
                }
                screen.extend(piece);
            }
            child.write(b"typed\n")?;
            screen.extend(read_all(&child, Pipe::Stdout)?);
            succeed(&shell, &child)?;
            artifacts::write("screen", &screen)
        }
        "input" => {
            let cat = Command::new("cat").stdout(Output::file("input"));
            process::run(&cat.stdin(Input::file("data")))?;
            let missing = Command::new("cat").stdin(Input::file("/no/such"));
            let refused = match process::run(&missing) {
                Ok(_) => "it ran".to_owned(),
                Err(error) => error.code,
            };
            artifacts::write("missing", refused.as_bytes())
        }
        other => Err(Error::new("invalid", format!("no stream `{other}`"))),
    }
}
