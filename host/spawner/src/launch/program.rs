//! Owns the helper's executable: in a memory file, or in an ordinary file if the system does not
//! execute memory files. Does not know how or where the helper is started.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// The helper's executable, which is written when it is needed for the first time, or before.
#[derive(Debug)]
pub(crate) struct Helper {
    bytes: &'static [u8],
    root: PathBuf,
    program: Mutex<HelperProgram>,
}

#[derive(Debug, Default)]
enum HelperProgram {
    #[default]
    Unwritten,
    /// In a memory file, which the system may refuse to execute.
    Written(OwnedFd),
    /// It has been executed.
    Executed(Arc<Program>),
}

/// Where the executable is.
#[derive(Debug)]
pub(crate) enum Program {
    Memory(OwnedFd),
    File(tempfile::TempPath),
}

impl Program {
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Program::Memory(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            Program::File(path) => path.to_path_buf(),
        }
    }

    /// The descriptor that a process must inherit so that [`Program::path`] is valid there.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Program::Memory(fd) => Some(fd.as_fd()),
            Program::File(_) => None,
        }
    }
}

impl Helper {
    /// Takes the bytes of a static executable, and the directory for it if memory files cannot be
    /// executed.
    pub(crate) fn new(bytes: &'static [u8], root: PathBuf) -> Helper {
        Helper {
            bytes,
            root,
            program: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HelperProgram> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the memory file, unless that has been done. It takes most of a millisecond, and may
    /// run on another thread before the first helper is needed. An error is that of [`Self::run`].
    pub(crate) fn write_early(&self) {
        let mut place = self.lock();
        if let HelperProgram::Unwritten = &*place
            && let Ok(written) = in_memory(self.bytes)
        {
            *place = HelperProgram::Written(written);
        }
    }

    /// Calls `execute` with the executable: the memory file, or an ordinary file if that fails.
    pub(crate) fn run<T>(
        &self,
        mut execute: impl FnMut(&Program) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut place = self.lock();
        let written = match std::mem::take(&mut *place) {
            HelperProgram::Unwritten => in_memory(self.bytes),
            HelperProgram::Written(written) => Ok(written),
            HelperProgram::Executed(program) => {
                *place = HelperProgram::Executed(Arc::clone(&program));
                return retry_while_busy(|| execute(&program));
            }
        };
        let from_memory = written.and_then(|fd| {
            let program = Program::Memory(fd);
            Ok((execute(&program)?, program))
        });
        let (child, program) = match from_memory {
            Ok(done) => done,
            Err(e) => {
                tracing::debug!(
                    "cannot run the helper from a memory file ({e}): using an ordinary file"
                );
                let program = Program::File(in_file(self.bytes, &self.root)?);
                (retry_while_busy(|| execute(&program))?, program)
            }
        };
        *place = HelperProgram::Executed(Arc::new(program));
        Ok(child)
    }
}

/// Retries while the file is still open for writing: a child that another thread forked meanwhile
/// has a copy of the descriptor until it calls exec.
fn retry_while_busy<T>(mut execute: impl FnMut() -> io::Result<T>) -> io::Result<T> {
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
    // Kernels before 6.3 do not know EXEC; later ones may require it (vm.memfd_noexec).
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("persea-helper", flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("persea-helper", flags))?;
    let mut file = File::from(fd);
    file.write_all(program)?;
    // Nobody can change the program, even with access to the descriptor.
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
    // The umask applies to the mode at creation.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    file.write_all(program)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use super::*;

    #[test]
    fn helper_that_was_written_early_is_executed() {
        let directory = tempfile::tempdir().unwrap();
        let program = std::fs::read("/bin/true").unwrap().leak();
        let helper = Helper::new(program, directory.path().to_path_buf());
        helper.write_early();
        let early = match &*helper.lock() {
            HelperProgram::Written(written) => written.as_raw_fd(),
            HelperProgram::Unwritten | HelperProgram::Executed(_) => -1,
        };
        for _ in 0..2 {
            let mut paths = Vec::new();
            let ended = helper.run(|program| {
                paths.push(program.path());
                Command::new(program.path()).status()
            });
            assert!(ended.unwrap().success());
            assert_eq!(paths, [PathBuf::from(format!("/proc/self/fd/{early}"))]);
            helper.write_early();
        }
    }
}
