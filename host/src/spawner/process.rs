//! The spawner of this machine: brings the helper to life as a child of the host, with a work directory for each slot, and
//! clears up after it. It must not know what is asked of the helper.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use persea_helper::protocol::{Bytes, Hello};
use persea_helper::sweep;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::channel::{Aftermath, Channel, END_WITHIN};
use super::{Environment, Opening, SpawnError, Spawner, children};

/// Its last words are kept for the error, up to this many bytes.
const LAST_WORDS: usize = 2000;

/// Starts processes on this machine, without any isolation. Each slot has a helper of its own; should that be killed, the
/// host ends what it leaves. If the host is killed, the helpers end everything.
///
/// From the first [`Spawner::open`] on, the process that uses this must start children only through spawners: others would
/// be taken for strays and ended when a helper dies.
#[derive(Debug)]
pub struct ProcessSpawner {
    helper: &'static [u8],
    root: PathBuf,
    directory: Option<PathBuf>,
    program: Mutex<Option<Arc<Program>>>,
}

/// The helper as something that can be executed.
#[derive(Debug)]
enum Program {
    Memory(OwnedFd),
    File(tempfile::TempPath),
}

impl ProcessSpawner {
    /// With the helper's program (a static executable), and the directory below which work directories are made. That
    /// directory must be there.
    pub fn new(helper: &'static [u8], temporary: PathBuf) -> ProcessSpawner {
        ProcessSpawner {
            helper,
            root: temporary,
            directory: None,
            program: Mutex::new(None),
        }
    }

    /// Processes start in this directory unless their command names another. Otherwise it's the host's own.
    #[must_use]
    pub fn in_directory(mut self, directory: PathBuf) -> ProcessSpawner {
        self.directory = Some(directory);
        self
    }

    async fn open_slot(&self, slot: usize) -> Result<Environment, SpawnError> {
        let name: Arc<str> = format!("process/{slot}").into();
        let failed = |what| {
            let environment = Arc::clone(&name);
            move |e: io::Error| SpawnError::HelperStart {
                environment,
                what,
                source: Arc::new(e),
            }
        };
        let work = tempfile::Builder::new()
            .prefix(&format!("slot-{slot}-"))
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.root)
            .and_then(|dir| dir.path().canonicalize().map(|path| (dir, path)))
            .map_err(failed("making its work directory"))?;
        let (work, path) = work;
        let text = path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
            SpawnError::Invalid(format!(
                "the directory for temporary files, {}, is no UTF-8 text; choose another by TMPDIR",
                self.root.display()
            ))
        })?;
        // From now on it is removed by the helper, or in the aftermath.
        let _ = work.keep();

        // Two pipes and not a socket: with a socket, the host would be woken each time that the helper has read a request,
        // only to learn that it might send more.
        let channel = failed("making its channel");
        let ((requests, to_helper), (from_helper, replies)) =
            match std::io::pipe().and_then(|first| Ok((first, std::io::pipe()?))) {
                Ok(pipes) => pipes,
                Err(e) => {
                    let _ = sweep::remove(&path);
                    return Err(channel(e));
                }
            };
        let mut child = match self.start_helper(&requests, &replies) {
            Ok(child) => child,
            Err(e) => {
                let _ = sweep::remove(&path);
                return Err(failed("running its program")(e));
            }
        };
        drop((requests, replies));
        let words = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().map(OwnedFd::from);
        let end = tokio::spawn(keep_words(stderr, Arc::clone(&name), Arc::clone(&words)));
        let hello = Hello {
            work_dir: Some(Bytes(path.as_os_str().as_bytes().to_vec())),
        };
        let aftermath: Aftermath = Box::pin(clear_up(child, end, path, words));
        let reader = pipe::Receiver::from_owned_fd(from_helper.into());
        let writer = pipe::Sender::from_owned_fd(to_helper.into());
        let (reader, writer) = match (reader, writer) {
            (Ok(reader), Ok(writer)) => (reader, writer),
            (Err(e), _) | (_, Err(e)) => {
                tokio::spawn(aftermath);
                return Err(channel(e));
            }
        };
        let slot = Arc::clone(&name);
        // A task of its own, so that also a helper that nobody waits for any more is cleared up after.
        let opening = tokio::spawn(async move {
            let channel = Channel::open(slot, reader, writer, hello, aftermath).await?;
            Ok(Environment::new(channel, text))
        });
        opening
            .await
            .unwrap_or(Err(SpawnError::Closed("the environment")))
    }

    /// Runs the helper from memory, or from a file where that is not allowed.
    fn start_helper(&self, requests: &PipeReader, replies: &PipeWriter) -> io::Result<Child> {
        let mut place = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = &*place {
            return self.execute(program, requests, replies);
        }
        let from_memory = in_memory(self.helper).and_then(|fd| {
            let program = Program::Memory(fd);
            Ok((self.execute(&program, requests, replies)?, program))
        });
        let (child, program) = match from_memory {
            Ok(done) => done,
            Err(e) => {
                tracing::debug!(
                    "the helper can't be run from memory ({e}), so it's put into a file"
                );
                let program = Program::File(in_file(self.helper, &self.root)?);
                (self.execute(&program, requests, replies)?, program)
            }
        };
        *place = Some(Arc::new(program));
        Ok(child)
    }

    fn execute(
        &self,
        program: &Program,
        requests: &PipeReader,
        replies: &PipeWriter,
    ) -> io::Result<Child> {
        let path = match program {
            // Closed on exec, but by then the kernel has it open.
            Program::Memory(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            Program::File(path) => path.to_path_buf(),
        };
        let mut command = Command::new(path);
        command
            .arg0("persea-helper")
            .stdin(requests.try_clone()?)
            .stdout(replies.try_clone()?)
            .stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut tries = 0;
        loop {
            match children::start(&mut command) {
                // Another thread was just starting something when the file was still open for writing here, and its child
                // holds it until it executes.
                Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }
}

impl Spawner for ProcessSpawner {
    fn name(&self) -> &'static str {
        "process"
    }

    fn open(&self, slot: usize) -> Opening<'_> {
        Box::pin(self.open_slot(slot))
    }
}

fn in_memory(program: &[u8]) -> io::Result<OwnedFd> {
    // Kernels before 6.3 don't know the flag, and later ones may be set up to want it.
    let fd = memfd_create("persea-helper", MemfdFlags::CLOEXEC | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("persea-helper", MemfdFlags::CLOEXEC))?;
    let mut file = File::from(fd);
    file.write_all(program)?;
    Ok(file.into())
}

fn in_file(program: &[u8], root: &Path) -> io::Result<tempfile::TempPath> {
    let file = tempfile::Builder::new()
        .prefix("persea-helper-")
        .make_in(root, |path| {
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o700).open(path)
        })?;
    let (mut file, path) = file.into_parts();
    file.write_all(program)?;
    Ok(path)
}

/// Logs what the helper writes to its standard error, and keeps the end of it. It lasts as long as the helper does: no
/// process gets that pipe from it.
async fn keep_words(stderr: Option<OwnedFd>, name: Arc<str>, words: Arc<Mutex<String>>) {
    let Some(Ok(stderr)) = stderr.map(pipe::Receiver::from_owned_fd) else {
        return;
    };
    // A line without an end must not fill the memory.
    let mut lines = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut lines)
            .take(LAST_WORDS as u64)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        tracing::warn!(environment = &*name, "{line}");
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() + line.len() > LAST_WORDS {
            words.clear();
        }
        if !words.is_empty() {
            words.push_str("; ");
        }
        words.push_str(line);
    }
}

/// Waits for the helper's end, which comes when its channel is gone, or brings it about; then ends what it may have left.
async fn clear_up(
    mut child: Child,
    end: JoinHandle<()>,
    work: PathBuf,
    words: Arc<Mutex<String>>,
) -> String {
    let pid = Pid::from_child(&child);
    let ended = tokio::time::timeout(END_WITHIN, end).await;
    let impatient = ended.is_err();
    if impatient {
        // It can't fail: the child has not been waited for.
        let _ = child.kill();
    }
    let blocking = tokio::task::spawn_blocking(move || {
        let status = child.wait();
        children::forget(pid);
        if !status.as_ref().is_ok_and(ExitStatus::success) {
            let strays = children::end_strays();
            if strays > 0 {
                tracing::debug!("ended {strays} processes that a helper had left");
            }
        }
        // As a rule the helper has done it.
        if let Err(e) = sweep::remove(&work) {
            tracing::warn!("the directory {} can't be removed: {e}", work.display());
        }
        status
    });
    let mut reason = match blocking.await {
        Ok(Ok(_)) if impatient => "it did not end by itself and was killed".to_owned(),
        Ok(Ok(status)) => match (status.code(), status.signal()) {
            (Some(0), _) => "its channel was closed".to_owned(),
            (Some(code), _) => format!("it ended with exit code {code}"),
            (None, signal) => format!("it was ended by signal {}", signal.unwrap_or_default()),
        },
        Ok(Err(e)) => format!("it can't be waited for: {e}"),
        Err(_) => "the host is ending".to_owned(),
    };
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    if !words.is_empty() {
        reason.push_str("; its last words: ");
        reason.push_str(&words);
    }
    reason
}
