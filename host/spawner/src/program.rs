//! The helper as something that can be executed: in memory, or in a file where that is not allowed. It must not know what is
//! started with it, nor where.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// The helper's program, brought to a place when it is needed for the first time.
#[derive(Debug)]
pub(super) struct Helper {
    bytes: &'static [u8],
    root: PathBuf,
    program: Mutex<Option<Arc<Program>>>,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Program {
    Memory(OwnedFd),
    File(tempfile::TempPath),
}

impl Program {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Program::Memory(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            Program::File(path) => path.to_path_buf(),
        }
    }

    /// What its path means only to a process that has it too.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Program::Memory(fd) => Some(fd.as_fd()),
            Program::File(_) => None,
        }
    }
}

impl Helper {
    /// A static executable, and the directory for it where it can't be run from memory.
    pub(super) fn new(bytes: &'static [u8], root: PathBuf) -> Helper {
        Helper {
            bytes,
            root,
            program: Mutex::default(),
        }
    }

    /// Runs it by `execute`: from memory, or from a file where that is not allowed.
    pub(super) fn run<T>(
        &self,
        mut execute: impl FnMut(&Program) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut place = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = &*place {
            return patiently(|| execute(program));
        }
        let from_memory = in_memory(self.bytes).and_then(|fd| {
            let program = Program::Memory(fd);
            Ok((execute(&program)?, program))
        });
        let (child, program) = match from_memory {
            Ok(done) => done,
            Err(e) => {
                tracing::debug!(
                    "the helper can't be run from memory ({e}), so it's put into a file"
                );
                let program = Program::File(in_file(self.bytes, &self.root)?);
                (patiently(|| execute(&program))?, program)
            }
        };
        *place = Some(Arc::new(program));
        Ok(child)
    }
}

/// Another thread may just start something when the file is still open for writing here, and its child holds it until it executes.
fn patiently<T>(mut execute: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        match execute() {
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

fn in_memory(program: &[u8]) -> io::Result<OwnedFd> {
    // Kernels before 6.3 don't know the flag, and later ones may be set up to want it.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("persea-helper", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("persea-helper", flags))?;
    let mut file = File::from(fd);
    file.write_all(program)?;
    // Nobody puts another program in its place, whoever gets hold of the file.
    fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
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
    // Of the mode that is asked for the umask takes its part.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    file.write_all(program)?;
    Ok(path)
}
