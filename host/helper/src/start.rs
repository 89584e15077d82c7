//! Starts one process: finds the program, opens its files, makes its pipes. It must not know the channel, nor how processes
//! end.
//!
//! What a process has from the one that starts it (the directory, a report pipe on a fixed number) is put in place in the helper itself, just for
//! the start: it has one thread, so nobody sees that.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use persea_helper::protocol::{Input, Output, Stage, Start, StartFailure};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fcntl_getfl, fcntl_setfl, fstat, open,
    stat,
};
use rustix::io::{DupFlags, Errno, dup3};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, chdir, fchdir, kill_process};

use crate::interpreter::what_is_missing;
use crate::spawn::Spawner;
use crate::variables::Variables;

const REPORT_FD: &str = "PERSEA_REPORT_FD";
/// Where programs are looked for when there is no PATH, as by execvp.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What has started: the process, and our ends of its pipes.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) at: Instant,
    pub(crate) stdin: Option<OwnedFd>,
    /// Standard output, standard error, report.
    pub(crate) streams: [Option<OwnedFd>; 3],
}

/// What every start needs.
pub(crate) struct Starter {
    null: OwnedFd,
    /// Occupies the number on which children find their report pipe.
    report_slot: OwnedFd,
    /// The directory in which the helper was started.
    base: OwnedFd,
    at_base: bool,
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
            at_base: true,
            // A report pipe that is inherited is that of a Persea that runs this one.
            variables: Variables::inherited(REPORT_FD),
            spawner,
        })
    }

    /// Processes begin with these variables from now on.
    pub(crate) fn begin_with(&mut self, variables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
        self.variables = Variables::of(variables, REPORT_FD);
    }

    /// Starts a process. On an error nothing runs and nothing is open; files that were made stay.
    pub(crate) fn start(&mut self, start: &Start) -> Result<Started, StartFailure> {
        self.enter(start.cwd.as_deref())?;
        let program = self.find(start)?;
        let variables = changes(start)?;
        let args: Vec<CString> = std::iter::once(&start.program)
            .chain(&start.args)
            // There is no zero byte in them: `find` has seen to it.
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
            // It can't fail: the number is in use and stays so. Were it to, the pipe would only lack its end.
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
                // The server reaps it as it does every stray.
                let _ = kill_process(pid, Signal::KILL);
                Err(failure)
            }
        }
    }

    fn enter(&mut self, directory: Option<&str>) -> Result<(), StartFailure> {
        let failure = |path: &str, e: Errno| StartFailure {
            stage: Stage::WorkingDirectory,
            errno: e.raw_os_error(),
            message: format!(
                "the working directory {path} can't be entered: {}",
                reason(e)
            ),
        };
        let absolute = directory.is_some_and(|d| d.starts_with('/'));
        if !absolute && !self.at_base {
            fchdir(&self.base).map_err(|e| failure("of the project", e))?;
            self.at_base = true;
        }
        if let Some(path) = directory {
            chdir(path).map_err(|e| failure(path, e))?;
            self.at_base = false;
        }
        Ok(())
    }

    /// The path of the program, as the shell would find it in the PATH that the process gets.
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
                stage: Stage::Invalid,
                errno: Errno::INVAL.raw_os_error(),
                message: format!(
                    "{name:?} can't be run: there is a zero byte in its name, arguments or environment"
                ),
            });
        }
        let failure = |errno: Errno, why: &str| StartFailure {
            stage: Stage::Program,
            errno: errno.raw_os_error(),
            message: format!("{name} can't be run: {why}"),
        };
        if name.is_empty() {
            return Err(StartFailure {
                stage: Stage::Invalid,
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
        let mut forbidden = false;
        for directory in search.as_bytes().split(|byte| *byte == b':') {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            let candidate = Path::new(OsStr::from_bytes(directory)).join(name);
            // Most directories of a PATH don't have it, and one call tells.
            match accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::empty()) {
                Ok(()) if is_file(&candidate) => return Ok(candidate),
                Ok(()) => {}
                Err(Errno::ACCESS) => forbidden |= is_file(&candidate),
                Err(_) => {}
            }
        }
        if forbidden {
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

/// The variables that are asked for.
fn changes(start: &Start) -> Result<Vec<(&str, Option<&str>)>, StartFailure> {
    let wrong = |(name, _): &&(String, Option<String>)| name.is_empty() || name.contains('=');
    if let Some((name, _)) = start.env.iter().find(wrong) {
        return Err(StartFailure {
            stage: Stage::Invalid,
            errno: Errno::INVAL.raw_os_error(),
            message: format!("{name:?} can't be the name of an environment variable"),
        });
    }
    let pairs = start.env.iter();
    Ok(pairs
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect())
}

/// Where the process writes, and our end of it; none is /dev/null.
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

/// The end to read from, and the one to write to.
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
        stage: Stage::OutputFile,
        errno: errno.raw_os_error(),
        message: format!("the output file {} can't be opened: {why}", path.display()),
    };
    // Nearly always the file is new; then no more needs to be asked.
    match open(path, flags | OFlags::EXCL, mode) {
        Ok(fd) => return Ok(fd),
        Err(Errno::EXIST) => {}
        Err(e) => return Err(failure(e, &reason(e))),
    }
    // A pipe or a device that somebody has put there must not hold up the helper.
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
        stage: Stage::Resources,
        errno: e.raw_os_error(),
        message: format!("the system has not what a process needs: {}", reason(e)),
    }
}

fn spawn_failure(e: &io::Error, name: &str, program: &Path) -> StartFailure {
    let errno = Errno::from_io_error(e).unwrap_or(Errno::INVAL);
    let (stage, why) = match errno {
        Errno::NOENT if stat(program).is_ok() => {
            return StartFailure {
                stage: Stage::Program,
                // ENOENT would be taken for a missing program.
                errno: Errno::LIBACC.raw_os_error(),
                message: format!("{name} can't be run: {}", what_is_missing(program)),
            };
        }
        Errno::NOENT => (Stage::Program, "there is no such file".to_owned()),
        Errno::NOTDIR => (
            Stage::Program,
            "a part of its path is not a directory".to_owned(),
        ),
        Errno::ACCESS if is_file(program) => {
            (Stage::Program, "the file is not executable".to_owned())
        }
        Errno::ACCESS => (Stage::Program, reason(errno)),
        Errno::NOEXEC => (
            Stage::Program,
            "it is neither a program for this machine nor a script with a #! line".to_owned(),
        ),
        Errno::PERM
        | Errno::ISDIR
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::TXTBSY
        | Errno::LIBBAD => (Stage::Program, reason(errno)),
        Errno::TOOBIG => (
            Stage::Invalid,
            "its arguments and environment are too large".to_owned(),
        ),
        Errno::INVAL => (Stage::Invalid, e.to_string()),
        Errno::AGAIN => (
            Stage::Resources,
            "no further process is allowed: `ulimit -u` limits those of a user, and a container may have a limit of its own"
                .to_owned(),
        ),
        _ => (Stage::Resources, reason(errno)),
    };
    StartFailure {
        stage,
        errno: errno.raw_os_error(),
        message: format!("{name} can't be run: {why}"),
    }
}

/// The system's words, in lower case and without the number.
fn reason(e: Errno) -> String {
    let text = io::Error::from(e).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}
