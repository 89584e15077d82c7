//! Owns the streams of a process to start: opens its files, creates its pipes, its terminal and its
//! report socket. Does not know about programs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use persea_helper::protocol::{Id, Input, Output, Start, StartFailure, StartFailureKind};
use rustix::fs::{
    FileType, MemfdFlags, Mode, OFlags, PROC_SUPER_MAGIC, SealFlags, SeekFrom, fcntl_add_seals,
    fcntl_getfl, fcntl_setfl, fstat, fstatfs, memfd_create, open, seek, stat,
};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{reason, resources};
use crate::report_socket::{Destination, ReportSocket};
use crate::start::terminal::{Terminal, open_terminal};

/// The standard streams of a process: its ends, and those of the helper.
pub(crate) struct Streams {
    /// Standard input, output and error; none stands for /dev/null.
    pub(crate) theirs: [Option<Rc<OwnedFd>>; 3],
    pub(crate) stdin: Option<OwnedFd>,
    /// Standard output and standard error.
    pub(crate) outputs: [Option<OwnedFd>; 2],
    pub(crate) terminal: Option<Terminal>,
}

impl Streams {
    pub(super) fn open(start: &Start) -> Result<Streams, StartFailure> {
        if start.stdout == Output::WithStdout {
            return Err(invalid("standard output can't be its own destination"));
        }
        if let Some(size) = start.terminal {
            if start.stderr != Output::WithStdout {
                return Err(invalid(
                    "the standard error of a process with a terminal must be that terminal",
                ));
            }
            let file = match &start.stdout {
                Output::File(path) => Some(open_output(OsStr::from_bytes(&path.0))?),
                Output::Discard | Output::Pipe | Output::WithStdout => None,
            };
            return open_terminal(size, &start.stdin, start.stdout == Output::Pipe, file);
        }
        let (stdin, stdin_end) = match &start.stdin {
            Input::Empty => (None, None),
            Input::Pipe => {
                let (theirs, ours) = make_pipe()?;
                (Some(theirs), Some(not_blocking(ours)?))
            }
            Input::Bytes(bytes) => (Some(in_memory(&bytes.0)?), None),
            Input::File(path) => (Some(open_input(OsStr::from_bytes(&path.0))?), None),
        };
        let (stdout, stdout_end) = output(&start.stdout)?;
        let stdout = stdout.map(Rc::new);
        let (stderr, stderr_end) = match &start.stderr {
            Output::WithStdout => (stdout.clone(), None),
            other => {
                let (theirs, ours) = output(other)?;
                (theirs.map(Rc::new), ours)
            }
        };
        Ok(Streams {
            theirs: [stdin.map(Rc::new), stdout, stderr],
            stdin: stdin_end,
            outputs: [stdout_end, stderr_end],
            terminal: None,
        })
    }
}

/// The report of a process: descriptor 3, the helper's end of its pipe, and the socket.
pub(super) struct Report {
    pub(super) theirs: Option<OwnedFd>,
    pub(super) ours: Option<OwnedFd>,
    pub(super) socket: Option<ReportSocket>,
}

impl Report {
    pub(super) fn open(
        id: Id,
        start: &Start,
        work_dir: Option<&Path>,
    ) -> Result<Report, StartFailure> {
        let destination = match (&start.report, start.report_socket) {
            (Output::WithStdout, _) => {
                return Err(invalid("standard output can't be the report's destination"));
            }
            (Output::Discard, true) => {
                return Err(invalid(
                    "a report socket needs a destination: a pipe or a file",
                ));
            }
            (_, false) => None,
            (Output::Pipe, true) => Some(Destination::Host),
            (Output::File(path), true) => Some(Destination::File(
                open_output(OsStr::from_bytes(&path.0))?.into(),
            )),
        };
        let (theirs, mut ours) = output(&start.report)?;
        let socket = match destination {
            // The pipe is one more connection.
            Some(destination) => {
                let socket = ReportSocket::listen(id, work_dir, destination, ours.take());
                Some(socket.map_err(|e| resources(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?)
            }
            None => None,
        };
        Ok(Report {
            theirs,
            ours,
            socket,
        })
    }
}

pub(crate) fn invalid(message: &str) -> StartFailure {
    StartFailure {
        kind: StartFailureKind::Invalid,
        errno: Errno::INVAL.raw_os_error(),
        message: message.to_owned(),
    }
}

/// Opens an output: the end of the process (none stands for /dev/null), and the end of the helper.
fn output(output: &Output) -> Result<(Option<OwnedFd>, Option<OwnedFd>), StartFailure> {
    Ok(match output {
        Output::Discard | Output::WithStdout => (None, None),
        Output::File(path) => (Some(open_output(OsStr::from_bytes(&path.0))?), None),
        Output::Pipe => {
            let (ours, theirs) = make_pipe()?;
            (Some(theirs), Some(not_blocking(ours)?))
        }
    })
}

/// Creates a pipe: the end to read from, and the end to write to.
fn make_pipe() -> Result<(OwnedFd, OwnedFd), StartFailure> {
    pipe_with(PipeFlags::CLOEXEC).map_err(resources)
}

pub(crate) fn not_blocking(ours: OwnedFd) -> Result<OwnedFd, StartFailure> {
    fcntl_getfl(&ours)
        .and_then(|flags| fcntl_setfl(&ours, flags | OFlags::NONBLOCK))
        .map_err(resources)?;
    Ok(ours)
}

/// Creates a file in memory with these bytes, which cannot be changed.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, StartFailure> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know NOEXEC_SEAL; later ones may require it (vm.memfd_noexec).
    let fd = memfd_create("persea-stdin", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create("persea-stdin", flags))
        .map_err(resources)?;
    let mut file = File::from(fd);
    file.write_all(bytes)
        .map_err(|e| resources(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)
        .and_then(|()| seek(&file, SeekFrom::Start(0)))
        .map_err(resources)?;
    Ok(file.into())
}

fn open_input(path: &OsStr) -> Result<OwnedFd, StartFailure> {
    let failure = |errno: Errno, why: &str| StartFailure {
        kind: StartFailureKind::InputFile,
        errno: errno.raw_os_error(),
        message: format!("the input file {} can't be opened: {why}", path.display()),
    };
    let is_ordinary = |kind| FileType::from_raw_mode(kind) == FileType::RegularFile;
    // Before the open, because opening a device may have an effect.
    let found = stat(path).map_err(|e| failure(e, &reason(e)))?;
    if !is_ordinary(found.st_mode) {
        return Err(failure(Errno::INVAL, "it is not an ordinary file"));
    }
    // Must not block if the file has become a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fd = open(path, flags, Mode::empty()).map_err(|e| failure(e, &reason(e)))?;
    if !fstat(&fd).is_ok_and(|found| is_ordinary(found.st_mode)) {
        return Err(failure(Errno::INVAL, "it is not an ordinary file"));
    }
    // `/proc/self/mem` would be the memory of the helper, with variables that the process may not
    // see.
    if fstatfs(&fd).map_err(resources)?.f_type == PROC_SUPER_MAGIC {
        return Err(failure(Errno::INVAL, "it is a file of /proc"));
    }
    fcntl_setfl(&fd, OFlags::empty()).map_err(resources)?;
    Ok(fd)
}

fn open_output(path: &OsStr) -> Result<OwnedFd, StartFailure> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let failure = |errno: Errno, why: &str| StartFailure {
        kind: StartFailureKind::OutputFile,
        errno: errno.raw_os_error(),
        message: format!("the output file {} can't be opened: {why}", path.display()),
    };
    // Nearly always the file is new; then this one system call is enough.
    match open(path, flags | OFlags::EXCL, mode) {
        Ok(fd) => return Ok(fd),
        Err(Errno::EXIST) => {}
        Err(e) => return Err(failure(e, &reason(e))),
    }
    // Must not block on a pipe or a device.
    let fd = open(path, flags | OFlags::NONBLOCK, mode).map_err(|e| match e {
        Errno::LOOP => failure(e, "it is a link"),
        Errno::NXIO => failure(e, "it is not an ordinary file"),
        e => failure(e, &reason(e)),
    })?;
    let kind = fstat(&fd).map(|s| FileType::from_raw_mode(s.st_mode));
    if kind != Ok(FileType::RegularFile) {
        return Err(failure(Errno::INVAL, "it is not an ordinary file"));
    }
    fcntl_setfl(&fd, OFlags::APPEND).map_err(resources)?;
    Ok(fd)
}
