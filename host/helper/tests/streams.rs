//! Inputs, outputs, report sockets and terminals of processes, also those of hostile ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Helper, sh, start};
use persea_helper::protocol::{
    Bytes, Ending, Input, MAX_INPUT, Output, Start, StartFailureKind, Stream, TerminalSize,
};
use rustix::io::Errno;

fn path(path: &Path) -> Bytes {
    Bytes(path.to_str().unwrap().into())
}

fn piped(start: Start) -> Start {
    Start {
        stdout: Output::Pipe,
        ..start
    }
}

fn python(script: &str) -> Start {
    let begin = "import os, socket, sys, time\n\
                 def connect():\n    \
                     s = socket.socket(socket.AF_UNIX)\n    \
                     s.connect(os.environ['PERSEA_REPORT_SOCKET'])\n    \
                     return s\n";
    start("python3", &["-c", &format!("{begin}{script}")])
}

fn with_socket(start: Start) -> Start {
    Start {
        report: Output::Pipe,
        report_socket: true,
        ..start
    }
}

fn with_terminal(start: Start) -> Start {
    Start {
        stdout: Output::Pipe,
        stderr: Output::WithStdout,
        terminal: Some(TerminalSize {
            rows: 30,
            columns: 90,
        }),
        ..start
    }
}

#[test]
fn bytes_are_the_whole_input() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(piped(Start {
        stdin: Input::Bytes(Bytes(b"one\ntwo".to_vec())),
        ..start("cat", &[])
    }));
    assert_eq!(helper.read_all(child, Stream::Stdout), b"one\ntwo");
    assert_eq!(helper.exit(child).ending, Ending::Code(0));
    helper.finish();
}

#[test]
fn input_of_the_largest_size_that_is_never_read_blocks_nobody() {
    let mut helper = Helper::new();
    let large = Input::Bytes(Bytes(vec![b'x'; MAX_INPUT]));
    let (lazy, _) = helper.start(Start {
        stdin: large.clone(),
        ..start("sleep", &["60"])
    });
    let (child, _) = helper.start(piped(Start {
        stdin: large,
        ..start("wc", &["-c"])
    }));
    assert_eq!(helper.read_all(child, Stream::Stdout), b"16777216\n");
    helper.exit(child);
    helper.end_task();
    assert_eq!(helper.exit(lazy).ending, Ending::Signal(9));
    helper.finish();
}

#[test]
fn input_file_is_read_and_any_other_kind_of_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "text").unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let file = |name: &Path| Start {
        stdin: Input::File(path(name)),
        cwd: Some(dir.path().to_str().unwrap().to_owned()),
        ..piped(start("cat", &[]))
    };
    let mut helper = Helper::new();
    let (child, _) = helper.start(file(Path::new("file")));
    assert_eq!(helper.read_all(child, Stream::Stdout), b"text");
    helper.exit(child);
    for (name, errno) in [
        (dir.path().join("missing").as_path(), Errno::NOENT),
        (&fifo, Errno::INVAL),
        (dir.path(), Errno::INVAL),
        (Path::new("/dev/zero"), Errno::INVAL),
        (Path::new("/proc/self/mem"), Errno::INVAL),
    ] {
        let failure = helper.start_fails(file(name));
        assert_eq!(
            (failure.kind, failure.errno),
            (StartFailureKind::InputFile, errno.raw_os_error()),
            "{failure:?}"
        );
        assert!(
            failure.message.contains(name.to_str().unwrap()),
            "{failure:?}"
        );
    }
    helper.finish();
}

#[test]
fn standard_error_with_standard_output_keeps_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo 1; echo 2 >&2; echo 3";
    let mut helper = Helper::new();
    let (child, _) = helper.start(piped(Start {
        stderr: Output::WithStdout,
        ..sh(script)
    }));
    assert_eq!(helper.read_all(child, Stream::Stdout), b"1\n2\n3\n");
    helper.exit(child);
    let out = dir.path().join("out");
    helper.run(Start {
        stdout: Output::File(path(&out)),
        stderr: Output::WithStdout,
        ..sh(script)
    });
    assert_eq!(fs::read(&out).unwrap(), b"1\n2\n3\n");
    for wrong in [
        Start {
            stdout: Output::WithStdout,
            ..sh("")
        },
        Start {
            report: Output::WithStdout,
            ..sh("")
        },
    ] {
        assert_eq!(helper.start_fails(wrong).kind, StartFailureKind::Invalid);
    }
    helper.finish();
}

#[test]
fn report_goes_to_a_file_without_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("report");
    let mut helper = Helper::new();
    helper.run(Start {
        report: Output::File(path(&out)),
        ..sh("echo $PERSEA_REPORT_FD >&3")
    });
    assert_eq!(fs::read(&out).unwrap(), b"3\n");
    helper.finish();
}

#[test]
fn report_socket_joins_whole_lines_of_all_connections() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(with_socket(python(
        "one, two = connect(), connect()\n\
         one.send(b'a'); two.send(b'1'); one.send(b'b\\nc'); two.send(b'2\\n')\n\
         os.write(3, b'pipe\\n')\n\
         one.close()\n",
    )));
    assert_eq!(helper.exit(child).ending, Ending::Code(0));
    let all = helper.read_all(child, Stream::Report);
    let mut lines: Vec<&str> = std::str::from_utf8(&all).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["12", "ab", "c", "pipe"]);
    assert_eq!(helper.read(child, Stream::Report), b"");
    helper.finish();
}

#[test]
fn report_socket_is_private_and_removed_at_the_end_of_the_process() {
    let mut helper = Helper::new();
    let exit = helper.run(Start {
        report: Output::File(path(&helper.work_dir().join("../report"))),
        report_socket: true,
        ..python(
            "path = os.environ['PERSEA_REPORT_SOCKET']\n\
             assert len(path) < 108\n\
             assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700\n\
             connect().send(b'text')",
        )
    });
    assert_eq!((exit.ending, exit.clean), (Ending::Code(0), true));
    let report = helper.work_dir().parent().unwrap().join("report");
    assert_eq!(fs::read(report).unwrap(), b"text");
    assert_eq!(fs::read_dir(helper.work_dir()).unwrap().count(), 0);
    let failure = helper.start_fails(Start {
        report_socket: true,
        ..sh("")
    });
    assert_eq!(failure.kind, StartFailureKind::Invalid);
    helper.finish();
}

#[test]
fn flooded_report_socket_waits_for_its_reader_and_loses_nothing() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(with_socket(python(
        "for n in range(8):\n    \
             if os.fork() == 0:\n        \
                 s = connect()\n        \
                 for _ in range(1000): s.sendall(b'%d' % n * 1000 + b'\\n')\n        \
                 os._exit(0)\n\
         for n in range(8): os.wait()\n",
    )));
    // While the flood waits, the helper serves others.
    assert_eq!(helper.run(sh("exit 3")).ending, Ending::Code(3));
    let all = helper.read_all(child, Stream::Report);
    let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 8001);
    for line in &lines[..8000] {
        assert!(line.len() == 1000 && line.iter().all(|byte| *byte == line[0]));
    }
    helper.exit(child);
    helper.finish();
}

#[test]
fn connections_that_never_close_or_write_hang_nobody() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(with_socket(python(
        "idle = [connect() for _ in range(100)]\n\
         idle[99].send(b'last')\n\
         if os.fork() == 0: time.sleep(60)\n\
         os._exit(0)",
    )));
    assert!(!helper.exit(child).clean);
    assert_eq!(helper.read_all(child, Stream::Report), b"last");
    assert_eq!(helper.end_task(), 1);
    helper.finish();
}

#[test]
fn line_without_an_end_is_passed_on() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(with_socket(python(
        "connect().sendall(b'x' * 1000000)\ntime.sleep(60)",
    )));
    let mut count = 0;
    while count < 900_000 {
        count += helper.read(child, Stream::Report).len();
    }
    helper.end_task();
    helper.finish();
}

#[test]
fn terminal_is_the_controlling_one_and_has_the_size() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(with_terminal(sh(
        "test -t 0 && test -t 1 && test -t 2 && stty size </dev/tty; echo err >&2",
    )));
    assert_eq!(helper.read_all(child, Stream::Stdout), b"30 90\r\nerr\r\n");
    assert_eq!(helper.exit(child).ending, Ending::Code(0));
    helper.finish();
}

#[test]
fn input_of_a_terminal_is_typed_and_ends() {
    let mut helper = Helper::new();
    for (stdin, written) in [
        (Input::Bytes(Bytes(b"one\ntwo".to_vec())), None),
        (Input::Pipe, Some(b"one\ntwo")),
    ] {
        let (child, _) = helper.start(with_terminal(Start {
            stdin,
            ..sh("stty -echo; cat | tr a-z A-Z")
        }));
        if let Some(bytes) = written {
            helper.write(child, bytes).unwrap();
            helper.close_stdin(child);
        }
        let all = helper.read_all(child, Stream::Stdout);
        let all = String::from_utf8(all).unwrap();
        assert!(all.ends_with("ONE\r\nTWO"), "{all:?}");
        assert_eq!(helper.exit(child).ending, Ending::Code(0));
    }
    helper.finish();
}

#[test]
fn output_of_a_terminal_is_copied_to_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut helper = Helper::new();
    let exit = helper.run(Start {
        stdout: Output::File(path(&out)),
        ..with_terminal(sh("seq 20000"))
    });
    assert_eq!((exit.ending, exit.clean), (Ending::Code(0), true));
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 20000);
    assert!(text.ends_with("20000\r\n"));
    // Discarded output does not block either.
    let exit = helper.run(Start {
        stdout: Output::Discard,
        ..with_terminal(sh("seq 20000"))
    });
    assert_eq!(exit.ending, Ending::Code(0));
    for wrong in [
        Start {
            stderr: Output::Discard,
            ..with_terminal(sh(""))
        },
        Start {
            stdin: Input::File(path(&out)),
            ..with_terminal(sh(""))
        },
    ] {
        assert_eq!(helper.start_fails(wrong).kind, StartFailureKind::Invalid);
    }
    helper.finish();
}
