//! Owns the start of one process: finds the program, and starts it with its streams. Does not know
//! about the channel or how processes end.
//!
//! A process inherits its working directory and the number of its report pipe. The helper sets both
//! up in itself, just for the start; it has one thread, so nothing else can notice.

pub(crate) mod streams;
pub(crate) mod terminal;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use persea_helper::protocol::{Id, Start, StartFailure, StartFailureKind};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, open, stat};
use rustix::io::{DupFlags, Errno, dup3};
use rustix::process::{Pid, chdir, fchdir};

use self::streams::{Report, Streams};
use crate::interpreter::explain_missing_file;
use crate::report_socket::ReportSocket;
use crate::spawn::Spawner;
use crate::start::terminal::Terminal;
use crate::variables::Variables;

const REPORT_FD: &str = "PERSEA_REPORT_FD";
const REPORT_SOCKET: &str = "PERSEA_REPORT_SOCKET";
/// The variables that only the helper sets. A value that it has inherited is of an outer Persea,
/// which runs this one as a test.
const OWN: [&str; 2] = [REPORT_FD, REPORT_SOCKET];
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
    pub(crate) terminal: Option<Terminal>,
    pub(crate) report_socket: Option<Box<ReportSocket>>,
}

/// Starts processes, and owns what every start needs.
pub(crate) struct Starter {
    null: OwnedFd,
    /// Occupies the number of the report pipe of children.
    report_slot: OwnedFd,
    /// The directory in which processes start: the one in which the helper was started, unless the
    /// host has named another.
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
            variables: Variables::inherited(&OWN),
            spawner,
        })
    }

    /// Sets the environment variables that processes start with from now on.
    pub(crate) fn set_variables(
        &mut self,
        variables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) {
        self.variables = Variables::of(variables, &OWN);
    }

    /// Makes a directory the one in which processes start, with the variable that names it.
    pub(crate) fn set_base(&mut self, path: &[u8]) -> Result<(), Errno> {
        self.base = open(
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        fchdir(&self.base)?;
        self.is_at_base = true;
        self.variables.set("PWD", path);
        Ok(())
    }

    /// Starts a process. On an error no process and no open descriptor is left; created files stay.
    /// `work_dir` is the place for a report socket, if its path is short enough.
    pub(crate) fn start(
        &mut self,
        id: Id,
        start: &Start,
        work_dir: Option<&Path>,
    ) -> Result<Started, StartFailure> {
        self.enter(start.cwd.as_deref())?;
        let program = self.find(start)?;
        let variables = changes(start)?;
        let args: Vec<CString> = std::iter::once(&start.program)
            .chain(&start.args)
            // Cannot fail: `find` has checked that there is no zero byte.
            .filter_map(|arg| CString::new(arg.as_str()).ok())
            .collect();

        let Streams {
            theirs,
            stdin,
            outputs: [stdout, stderr],
            terminal,
        } = Streams::open(start)?;
        let streams = theirs.each_ref();
        let streams = streams.map(|fd| fd.as_ref().map_or(self.null.as_fd(), |fd| fd.as_fd()));
        let Report {
            theirs: report,
            ours: report_end,
            socket,
        } = Report::open(id, start, work_dir)?;
        if let Some(report) = &report {
            dup3(report, &mut self.report_slot, DupFlags::empty()).map_err(resources)?;
        }
        let number = report
            .is_some()
            .then(|| self.report_slot.as_raw_fd().to_string());
        let number = number.as_deref().map(|number| (REPORT_FD, Some(number)));
        let socket_path = socket.as_ref().map(|socket| socket.path().to_owned());
        let socket_path = socket_path.as_deref();
        let socket_path = socket_path.map(|path| (REPORT_SOCKET, Some(path)));
        let own = number.into_iter().chain(socket_path);
        let changes: Vec<(&str, Option<&str>)> = variables.into_iter().chain(own).collect();
        let variables = self.variables.with(start.clear_env, &changes);

        let at = Instant::now();
        let path =
            CString::new(program.as_os_str().as_bytes()).map_err(|_| resources(Errno::INVAL));
        let has_terminal = terminal.is_some();
        let spawned = path.map(|path| {
            let limits = start.limits.as_deref();
            self.spawner
                .spawn(&path, &args, &variables, streams, has_terminal, limits)
        });
        if report.is_some() {
            // Cannot fail: the number is in use and stays so.
            let _ = dup3(&self.null, &mut self.report_slot, DupFlags::CLOEXEC);
        }
        let child = spawned?.map_err(|e| spawn_failure(&e.into(), &start.program, &program))?;
        let pid = Pid::from_raw(child.as_raw()).ok_or_else(|| resources(Errno::SRCH))?;
        Ok(Started {
            pid,
            at,
            stdin,
            streams: [stdout, stderr, report_end],
            terminal,
            report_socket: socket.map(Box::new),
        })
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

fn is_file(path: &Path) -> bool {
    stat(path).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

pub(crate) fn resources(e: Errno) -> StartFailure {
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
