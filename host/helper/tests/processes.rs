//! Processes start, print and exit as the requests say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use common::{Helper, sh, start};
use persea_helper::protocol::{
    Bytes, Ending, Input, MAX_TEXT, Output, Reply, Request, Start, StartFailureKind, Stream,
};
use rustix::io::Errno;

#[test]
fn exit_has_the_code_or_the_signal_and_the_duration() {
    let mut helper = Helper::new();
    let exit = helper.run(sh("exit 0"));
    assert_eq!((exit.ending, exit.clean), (Ending::Code(0), true));
    assert_eq!(helper.run(sh("exit 42")).ending, Ending::Code(42));
    let exit = helper.run(sh("kill -9 $$"));
    assert_eq!(exit.ending, Ending::Signal(9));
    let exit = helper.run(sh("sleep 0.1"));
    assert!(exit.duration_ns >= 100_000_000 && exit.duration_ns < 60_000_000_000);
    helper.finish();
}

#[test]
fn start_failure_names_its_kind_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("plain"), "#!/bin/sh\n").unwrap();
    fs::write(path("text"), "just text\n").unwrap();
    fs::write(path("orphan"), "#!/no/such/interpreter\n").unwrap();
    for name in ["text", "orphan"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("elsewhere", path("link")).unwrap();
    let program = |program: &str| Start {
        program: program.to_owned(),
        ..Start::default()
    };
    let file = |name: &str| Start {
        stdout: Output::File(Bytes(path(name).into_bytes())),
        ..sh("exit 0")
    };
    let cases = [
        (
            program("no-such-program-anywhere"),
            StartFailureKind::Program,
            Errno::NOENT,
            "no-such-program",
        ),
        (
            program("/no/such/file"),
            StartFailureKind::Program,
            Errno::NOENT,
            "/no/such/file",
        ),
        (
            program(&path("plain")),
            StartFailureKind::Program,
            Errno::ACCESS,
            "not executable",
        ),
        (
            program(&path("text")),
            StartFailureKind::Program,
            Errno::NOEXEC,
            "#!",
        ),
        (
            program(&path("orphan")),
            StartFailureKind::Program,
            Errno::LIBACC,
            "the interpreter that its first line names",
        ),
        (
            program(&path("plain/x")),
            StartFailureKind::Program,
            Errno::NOTDIR,
            "not a directory",
        ),
        (
            program(""),
            StartFailureKind::Invalid,
            Errno::INVAL,
            "no program",
        ),
        (program("a\0b"), StartFailureKind::Invalid, Errno::INVAL, ""),
        (
            Start {
                cwd: Some("/no/such/dir".into()),
                ..sh("exit 0")
            },
            StartFailureKind::WorkingDirectory,
            Errno::NOENT,
            "/no/such/dir",
        ),
        (
            Start {
                env: vec![("A=B".into(), None)],
                ..sh("exit 0")
            },
            StartFailureKind::Invalid,
            Errno::INVAL,
            "A=B",
        ),
        (
            file("missing/out"),
            StartFailureKind::OutputFile,
            Errno::NOENT,
            "missing/out",
        ),
        (
            file("link"),
            StartFailureKind::OutputFile,
            Errno::LOOP,
            "link",
        ),
        (
            file("."),
            StartFailureKind::OutputFile,
            Errno::ISDIR,
            "output file",
        ),
    ];
    let mut helper = Helper::new();
    for (start, kind, errno, text) in cases {
        let failure = helper.start_fails(start.clone());
        assert_eq!(
            (failure.kind, failure.errno),
            (kind, errno.raw_os_error()),
            "{start:?}: {failure:?}"
        );
        assert!(failure.message.contains(text), "{failure:?}");
    }
    // A message about a very long name is truncated.
    let long = helper.start_fails(program(&format!("{}\0", "a".repeat(3 << 20))));
    assert_eq!(long.kind, StartFailureKind::Invalid);
    assert!(long.message.len() <= MAX_TEXT && long.message.ends_with('…'));
    // A pipe that nobody reads must not block the helper.
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(
        helper.start_fails(file("fifo")).kind,
        StartFailureKind::OutputFile
    );
    helper.finish();
}

#[test]
fn default_working_directory_is_that_of_the_helper() {
    let dir = tempfile::tempdir().unwrap();
    let entered = dir.path().canonicalize().unwrap();
    let base = std::env::current_dir().unwrap();
    let is_in = |directory: &std::path::Path, cwd: Option<&str>| Start {
        cwd: cwd.map(str::to_owned),
        args: vec![
            "-c".to_owned(),
            "test \"$(pwd -P)\" = \"$1\"".to_owned(),
            "sh".to_owned(),
            directory.to_str().unwrap().to_owned(),
        ],
        ..start("sh", &[])
    };
    let name = entered.to_str();
    let mut helper = Helper::new();
    for start in [
        is_in(&base, None),
        is_in(&entered, name),
        is_in(&base, None),
        // A relative path begins there too.
        is_in(&entered, name),
        is_in(&base.join("src"), Some("src")),
        is_in(&base, None),
    ] {
        assert_eq!(
            helper.run(start.clone()).ending,
            Ending::Code(0),
            "{start:?}"
        );
    }
    // So is it after a failed start in another directory.
    let missing = Start {
        cwd: entered.to_str().map(str::to_owned),
        ..start("no-such-program", &[])
    };
    assert_eq!(helper.start_fails(missing).kind, StartFailureKind::Program);
    assert_eq!(helper.run(is_in(&base, None)).ending, Ending::Code(0));
    helper.finish();
}

#[test]
fn processes_start_without_ignored_or_blocked_signals() {
    for mut helper in [Helper::new(), Helper::with_ignored_signals()] {
        let (child, _) = helper.start(Start {
            stdout: Output::Pipe,
            ..start("cat", &["/proc/self/status"])
        });
        let said = String::from_utf8(helper.read_all(child, Stream::Stdout)).unwrap();
        assert_eq!(helper.exit(child).ending, Ending::Code(0));
        let mask = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        assert_eq!(mask("SigIgn:"), 0);
        assert_eq!(mask("SigBlk:"), 0);
        helper.finish();
    }
}

/// The replies exceed the buffer of the channel, while the host does not read.
#[test]
fn replies_beyond_the_buffer_of_the_channel_are_sent_later_and_once() {
    const EACH: usize = 60_000;
    let mut helper = Helper::new();
    let children: Vec<_> = (0..100)
        .map(|n| {
            let letter = char::from(b'a' + n % 26);
            let script = format!("head -c {EACH} /dev/zero | tr '\\0' {letter}");
            let start = Start {
                stdout: Output::Pipe,
                ..sh(&script)
            };
            (helper.start(start).0, letter)
        })
        .collect();
    // All output is in the pipes by now, and can be read at once.
    for (child, _) in &children {
        assert_eq!(helper.exit(*child).ending, Ending::Code(0));
    }
    let asked: Vec<_> = children
        .iter()
        .map(|(child, letter)| {
            let id = helper.id();
            helper.send(&Request::Read {
                id,
                child: *child,
                stream: Stream::Stdout,
                max: 1 << 20,
            });
            (id, *letter)
        })
        .collect();
    for (id, letter) in asked {
        let Reply::Data { bytes, .. } = helper.reply(id) else {
            panic!("no data")
        };
        assert_eq!(bytes.0.len(), EACH);
        assert!(bytes.0.iter().all(|byte| char::from(*byte) == letter));
    }
    helper.finish();
}

#[test]
fn output_is_appended_to_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let err = dir.path().join("err");
    let bytes = |p: &std::path::Path| Output::File(Bytes(p.to_str().unwrap().into()));
    let command = Start {
        stdout: bytes(&out),
        stderr: bytes(&err),
        cwd: Some(dir.path().to_str().unwrap().to_owned()),
        ..sh("pwd -P; echo oops >&2")
    };
    let mut helper = Helper::new();
    helper.run(command.clone());
    helper.run(command);
    let line = format!("{}\n", dir.path().canonicalize().unwrap().display());
    assert_eq!(fs::read_to_string(&out).unwrap(), line.repeat(2));
    assert_eq!(fs::read_to_string(&err).unwrap(), "oops\noops\n");
    helper.finish();
}

#[test]
fn environment_variables_and_path_are_those_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut helper = Helper::new();
    helper.run(Start {
        stdout: Output::File(Bytes(out.to_str().unwrap().into())),
        clear_env: true,
        env: vec![
            ("A".into(), Some("1".into())),
            ("A".into(), Some("2".into())),
            ("B".into(), Some("1".into())),
            ("B".into(), None),
        ],
        ..start("env", &[])
    });
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let seen = fs::read_to_string(&out).unwrap();
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["A=2", path.as_str()]);
    // The program is searched in the PATH of the new process.
    let tool = dir.path().join("only-here");
    fs::write(&tool, "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let dir = dir.path().to_str().unwrap().to_owned();
    let exit = helper.run(Start {
        env: vec![("PATH".into(), Some(dir))],
        ..start("only-here", &[])
    });
    assert_eq!(exit.ending, Ending::Code(7));
    helper.finish();
}

#[test]
fn pipes_and_report_pipe_connect_to_the_host() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(Start {
        stdin: Input::Pipe,
        stdout: Output::Pipe,
        stderr: Output::Pipe,
        report: Output::Pipe,
        ..sh("tr a-z A-Z; echo oops >&2; echo \"on $PERSEA_REPORT_FD\" >&3")
    });
    helper.write(child, b"hello ").unwrap();
    helper.write(child, b"world\n").unwrap();
    helper.close_stdin(child);
    assert_eq!(helper.read_all(child, Stream::Stdout), b"HELLO WORLD\n");
    assert_eq!(helper.read_all(child, Stream::Stderr), b"oops\n");
    assert_eq!(helper.read_all(child, Stream::Report), b"on 3\n");
    assert_eq!(helper.exit(child).ending, Ending::Code(0));
    // Without a report pipe there are no descriptors but the standard ones.
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        ..start("ls", &["/proc/self/fd"])
    });
    // 3 is the directory that ls lists.
    assert_eq!(helper.read_all(child, Stream::Stdout), b"0\n1\n2\n3\n");
    helper.exit(child);
    helper.finish();
}

#[test]
fn write_waits_for_the_reader_and_fails_on_a_closed_input() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(Start {
        stdin: Input::Pipe,
        stdout: Output::Pipe,
        ..start("wc", &["-c"])
    });
    helper.write(child, &vec![b'x'; 3 << 20]).unwrap();
    helper.close_stdin(child);
    assert_eq!(helper.read_all(child, Stream::Stdout), b"3145728\n");
    helper.exit(child);

    // While one child does not read, the helper serves others.
    let (lazy, _) = helper.start(Start {
        stdin: Input::Pipe,
        ..start("sleep", &["60"])
    });
    let id = helper.id();
    helper.send(&Request::Write {
        id,
        child: lazy,
        bytes: Bytes(vec![0; 1 << 20]),
    });
    assert_eq!(helper.run(sh("exit 3")).ending, Ending::Code(3));
    helper.send(&Request::Signal {
        id: id + 1000,
        child: lazy,
        signal: 15,
    });
    assert_eq!(helper.failure(id), Errno::PIPE.raw_os_error());
    assert_eq!(helper.exit(lazy).ending, Ending::Signal(15));
    assert_eq!(helper.write(lazy, b"x"), Err(Errno::PIPE.raw_os_error()));
    helper.finish();
}

#[test]
fn exit_is_reported_while_other_processes_have_the_pipe_open() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        ..sh("sleep 60 & echo x")
    });
    assert!(!helper.exit(child).clean);
    assert_eq!(helper.read(child, Stream::Stdout), b"x\n");
    // A reader does not wait for them either.
    assert_eq!(helper.read(child, Stream::Stdout), b"");
    assert_eq!(helper.end_task(), 1);
    helper.finish();
}

#[test]
fn children_of_a_helper_with_ignored_signals_start_with_default_ones() {
    let mut helper = Helper::with_ignored_signals();
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        ..sh("grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid=,pgid=,pid= -p $$")
    });
    let text = String::from_utf8(helper.read_all(child, Stream::Stdout)).unwrap();
    for line in text.lines().take(2) {
        // Including the two that glibc makes its children, and so the helper, ignore.
        let signals = line.split_whitespace().nth(1).unwrap();
        assert_eq!(u64::from_str_radix(signals, 16), Ok(0), "{text}");
    }
    let ids: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(
        ids[0],
        helper.pid.to_string(),
        "the session is the helper's"
    );
    assert_eq!(ids[1], ids[2], "it leads a process group of its own");
    helper.exit(child);
    helper.finish();
}

#[test]
fn variables_of_the_greeting_reach_processes_but_not_the_environment_of_the_helper() {
    let mut helper = Helper::silent();
    let work = helper.work_dir();
    let given = [
        ("GIVEN", "secret"),
        ("PATH", "/usr/bin:/bin"),
        ("PERSEA_REPORT_FD", "9"),
    ];
    helper.hello(Some(&work), Some(&given));
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        env: vec![("ADDED".to_owned(), Some("too".to_owned()))],
        ..start("env", &[])
    });
    let said = String::from_utf8(helper.read_all(child, Stream::Stdout)).unwrap();
    helper.exit(child);
    assert_eq!(said, "GIVEN=secret\nPATH=/usr/bin:/bin\nADDED=too\n");
    // Not even root, who may read the environment of all processes, sees them there.
    let own = fs::read(format!("/proc/{}/environ", helper.pid)).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&own).contains("GIVEN"));
    helper.finish();
}

#[test]
fn large_arguments_and_environment_are_passed_up_to_the_limit_of_the_kernel() {
    let mut helper = Helper::new();
    let long = "x".repeat(100_000);
    let exit = helper.run(Start {
        env: vec![("LONG".into(), Some(long.clone()))],
        ..start(
            "sh",
            &[
                "-c",
                "test ${#LONG} = 100000 && test ${#1} = 100000",
                "sh",
                &long,
            ],
        )
    });
    assert_eq!(exit.ending, Ending::Code(0));
    let args: Vec<&str> = (0..100).map(|_| long.as_str()).collect();
    let failure = helper.start_fails(start("true", &args));
    assert_eq!(
        (failure.kind, failure.errno),
        (StartFailureKind::Invalid, Errno::TOOBIG.raw_os_error())
    );
    helper.finish();
}

#[test]
fn work_directory_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious"), "x").unwrap();
    let mut helper = Helper::silent();
    helper.hello(Some(dir.path()), None);
    let Reply::Failed { message, .. } = helper.receive() else {
        panic!()
    };
    assert!(message.contains("it is not empty"), "{message}");
    assert_eq!(helper.wait().code(), Some(1));
    assert!(dir.path().join("precious").exists());
}
