//! Owns the start of one process: finds the program, opens its files, creates its pipes. Does not
//! know about the channel or how processes end.
//!
//! A process inherits its working directory and the number of its report pipe. The helper sets both
//! up in itself, just for the start; it has one thread, so nothing else can notice.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use persea_helper::protocol::{Input, Output, Start, StartFailure, StartFailureKind};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fcntl_getfl, fcntl_setfl, fstat, open,
    stat,
};
use rustix::io::{DupFlags, Errno, dup3};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, chdir, fchdir, kill_process};

use crate::interpreter::explain_missing_file;
use crate::spawn::Spawner;
use crate::variables::Variables;

const REPORT_FD: &str = "PERSEA_REPORT_FD";
/// Where programs are searched without a PATH, as execvp does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A started process, and the helper's ends of its pipes.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    /// When the process started.
    pub(crate) at: Instant,
    pub(crate) stdin: Option<OwnedFd>,
    /// Standard output, standard error, report.
    pub(crate) streams: [Option<OwnedFd>; 3],
}

/// Starts processes, and owns what every start needs.
pub(crate) struct Starter {
    null: OwnedFd,
    /// Occupies the number of the report pipe of children.
    report_slot: OwnedFd,
    /// The directory in which the helper was started.
    base: OwnedFd,
    /// Whether the working directory of the helper is `base`.
    is_at_base: bool,
    variables: Variables,
    spawner: Spawner,
}

impl Starter {
    pub(crate) fn new(
        null: OwnedFd,
        report_slot: OwnedFd,
        spawner: Spawner,
    ) -> io::Result<Starter> {
        Ok(Starter {
            null,
            report_slot,
            base: open(
                ".",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            is_at_base: true,
            // An inherited number would be that of a Persea that runs this one as a test.
            variables: Variables::inherited(REPORT_FD),
            spawner,
        })
    }

    /// Sets the environment variables that processes start with from now on.
    pub(crate) fn set_variables(
        &mut self,
        variables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) {
        self.variables = Variables::of(variables, REPORT_FD);
    }

    /// Starts a process. On an error no process and no open descriptor is left; created files stay.
    pub(crate) fn start(&mut self, start: &Start) -> Result<Started, StartFailure> {
        self.enter(start.cwd.as_deref())?;
        let program = self.find(start)?;
        let variables = changes(start)?;
        let args: Vec<CString> = std::iter::once(&start.program)
            .chain(&start.args)
            // Cannot fail: `find` has checked that there is no zero byte.
            .filter_map(|arg| CString::new(arg.as_str()).ok())
            .collect();

        let (stdin, stdin_end) = match start.stdin {
            Input::Empty => (None, None),
            Input::Pipe => {
                let (theirs, ours) = make_pipe()?;
                (Some(theirs), Some(not_blocking(ours)?))
            }
        };
        let (stdout, stdout_end) = output(&start.stdout)?;
        let (stderr, stderr_end) = output(&start.stderr)?;
        let streams = [&stdin, &stdout, &stderr];
        let streams = streams.map(|fd| fd.as_ref().map_or(self.null.as_fd(), AsFd::as_fd));
        let report_end = if start.report {
            let (ours, theirs) = make_pipe()?;
            dup3(&theirs, &mut self.report_slot, DupFlags::empty()).map_err(resources)?;
            Some(not_blocking(ours))
        } else {
            None
        };
        let report = report_end
            .is_some()
            .then(|| self.report_slot.as_raw_fd().to_string());
        let own = report.as_deref().map(|number| (REPORT_FD, Some(number)));
        let changes: Vec<(&str, Option<&str>)> = variables.into_iter().chain(own).collect();
        let variables = self.variables.with(start.clear_env, &changes);

        let at = Instant::now();
        let path =
            CString::new(program.as_os_str().as_bytes()).map_err(|_| resources(Errno::INVAL))?;
        let spawned = self.spawner.spawn(&path, &args, &variables, streams);
        if report_end.is_some() {
            // Cannot fail: the number is in use and stays so.
            let _ = dup3(&self.null, &mut self.report_slot, DupFlags::CLOEXEC);
        }
        let child = spawned.map_err(|e| spawn_failure(&e.into(), &start.program, &program))?;
        let pid = Pid::from_raw(child.as_raw()).ok_or_else(|| resources(Errno::SRCH))?;
        match report_end.transpose() {
            Ok(report) => Ok(Started {
                pid,
                at,
                stdin: stdin_end,
                streams: [stdout_end, stderr_end, report],
            }),
            Err(failure) => {
                // The server reaps it like any other process.
                let _ = kill_process(pid, Signal::KILL);
                Err(failure)
            }
        }
    }

    fn enter(&mut self, directory: Option<&str>) -> Result<(), StartFailure> {
        let failure = |path: &str, e: Errno| StartFailure {
            kind: StartFailureKind::WorkingDirectory,
            errno: e.raw_os_error(),
            message: format!(
                "the working directory {path} can't be entered: {}",
                reason(e)
            ),
        };
        let absolute = directory.is_some_and(|d| d.starts_with('/'));
        if !absolute && !self.is_at_base {
            fchdir(&self.base).map_err(|e| failure("of the project", e))?;
            self.is_at_base = true;
        }
        if let Some(path) = directory {
            chdir(path).map_err(|e| failure(path, e))?;
            self.is_at_base = false;
        }
        Ok(())
    }

    /// Returns the path of the program, as a shell would find it in the PATH of the new process.
    fn find(&self, start: &Start) -> Result<PathBuf, StartFailure> {
        let name = start.program.as_str();
        let texts = start
            .env
            .iter()
            .flat_map(|(k, v)| std::iter::once(k).chain(v));
        if texts
            .chain(&start.args)
            .chain([&start.program])
            .any(|t| t.contains('\0'))
        {
            return Err(StartFailure {
                kind: StartFailureKind::Invalid,
                errno: Errno::INVAL.raw_os_error(),
                message: format!(
                    "{name:?} can't be run: its name, arguments or environment contain a zero byte"
                ),
            });
        }
        let failure = |errno: Errno, why: &str| StartFailure {
            kind: StartFailureKind::Program,
            errno: errno.raw_os_error(),
            message: format!("{name} can't be run: {why}"),
        };
        if name.is_empty() {
            return Err(StartFailure {
                kind: StartFailureKind::Invalid,
                errno: Errno::INVAL.raw_os_error(),
                message: "no program is named".to_owned(),
            });
        }
        if name.contains('/') {
            return Ok(PathBuf::from(name));
        }
        let set = start.env.iter().rev().find(|(key, _)| key == "PATH");
        let search = match set {
            Some((_, value)) => value.as_deref().map(OsStr::new),
            None => self.variables.get("PATH"),
        }
        .unwrap_or(OsStr::new(DEFAULT_PATH));
        let mut is_forbidden = false;
        for directory in search.as_bytes().split(|byte| *byte == b':') {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            let candidate = Path::new(OsStr::from_bytes(directory)).join(name);
            // One system call for each directory that does not have the program, which most do not.
            match accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::empty()) {
                Ok(()) if is_file(&candidate) => return Ok(candidate),
                Ok(()) => {}
                Err(Errno::ACCESS) => is_forbidden |= is_file(&candidate),
                Err(_) => {}
            }
        }
        if is_forbidden {
            Err(failure(
                Errno::ACCESS,
                "the file of that name in PATH is not executable",
            ))
        } else {
            Err(failure(
                Errno::NOENT,
                &format!(
                    "there is no program of that name in PATH ({})",
                    search.display()
                ),
            ))
        }
    }
}

/// Returns the requested changes to the environment variables, after a check of their names.
fn changes(start: &Start) -> Result<Vec<(&str, Option<&str>)>, StartFailure> {
    let wrong = |(name, _): &&(String, Option<String>)| name.is_empty() || name.contains('=');
    if let Some((name, _)) = start.env.iter().find(wrong) {
        return Err(StartFailure {
            kind: StartFailureKind::Invalid,
            errno: Errno::INVAL.raw_os_error(),
            message: format!("{name:?} can't be the name of an environment variable"),
        });
    }
    let pairs = start.env.iter();
    Ok(pairs
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect())
}

/// Opens an output: the end of the process (none stands for /dev/null), and the end of the helper.
fn output(output: &Output) -> Result<(Option<OwnedFd>, Option<OwnedFd>), StartFailure> {
    Ok(match output {
        Output::Discard => (None, None),
        Output::File(path) => (Some(open_output(OsStr::from_bytes(&path.0))?), None),
        Output::Pipe => {
            let (ours, theirs) = make_pipe()?;
            (Some(theirs), Some(not_blocking(ours)?))
        }
    })
}

fn is_file(path: &Path) -> bool {
    stat(path).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

/// Creates a pipe: the end to read from, and the end to write to.
fn make_pipe() -> Result<(OwnedFd, OwnedFd), StartFailure> {
    pipe_with(PipeFlags::CLOEXEC).map_err(resources)
}

fn not_blocking(ours: OwnedFd) -> Result<OwnedFd, StartFailure> {
    fcntl_getfl(&ours)
        .and_then(|flags| fcntl_setfl(&ours, flags | OFlags::NONBLOCK))
        .map_err(resources)?;
    Ok(ours)
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

fn resources(e: Errno) -> StartFailure {
    StartFailure {
        kind: StartFailureKind::Resources,
        errno: e.raw_os_error(),
        message: format!("the system lacks what a new process needs: {}", reason(e)),
    }
}

fn spawn_failure(e: &io::Error, name: &str, program: &Path) -> StartFailure {
    let errno = Errno::from_io_error(e).unwrap_or(Errno::INVAL);
    let (kind, why) = match errno {
        Errno::NOENT if stat(program).is_ok() => {
            return StartFailure {
                kind: StartFailureKind::Program,
                // ENOENT would mean a missing program.
                errno: Errno::LIBACC.raw_os_error(),
                message: format!("{name} can't be run: {}", explain_missing_file(program)),
            };
        }
        Errno::NOENT => (
            StartFailureKind::Program,
            "there is no such file".to_owned(),
        ),
        Errno::NOTDIR => (
            StartFailureKind::Program,
            "a part of its path is not a directory".to_owned(),
        ),
        Errno::ACCESS if is_file(program) => (
            StartFailureKind::Program,
            "the file is not executable".to_owned(),
        ),
        Errno::ACCESS => (StartFailureKind::Program, reason(errno)),
        Errno::NOEXEC => (
            StartFailureKind::Program,
            "it is neither a program for this machine nor a script with a #! line".to_owned(),
        ),
        Errno::PERM
        | Errno::ISDIR
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::TXTBSY
        | Errno::LIBBAD => (StartFailureKind::Program, reason(errno)),
        Errno::TOOBIG => (
            StartFailureKind::Invalid,
            "its arguments and environment are too large".to_owned(),
        ),
        Errno::INVAL => (StartFailureKind::Invalid, e.to_string()),
        Errno::AGAIN => (
            StartFailureKind::Resources,
            "no more processes are allowed: `ulimit -u` limits those of a user, and a container \
             may have a limit of its own"
                .to_owned(),
        ),
        _ => (StartFailureKind::Resources, reason(errno)),
    };
    StartFailure {
        kind,
        errno: errno.raw_os_error(),
        message: format!("{name} can't be run: {why}"),
    }
}

/// Returns the text of a system error, in lower case and without its number.
fn reason(e: Errno) -> String {
    let text = io::Error::from(e).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
