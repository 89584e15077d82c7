//! Owns the files to which the helper itself copies the output of processes. Does not know where
//! the bytes come from.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// A file to which bytes are appended until that fails.
pub(crate) struct FileCopy {
    file: File,
    has_failed: bool,
}

impl FileCopy {
    pub(crate) fn new(file: OwnedFd) -> FileCopy {
        FileCopy {
            file: file.into(),
            has_failed: false,
        }
    }

    /// Appends bytes. The first failure is reported on standard error, which the host logs; later
    /// bytes are dropped, because the process must not wait for a full disk.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.has_failed {
            return;
        }
        if let Err(e) = self.file.write_all(bytes) {
            self.has_failed = true;
            let _ = writeln!(
                std::io::stderr(),
                "persea-helper: the rest of an output is lost, because its file can't be written: \
                 {e}"
            );
        }
    }
}

impl From<OwnedFd> for FileCopy {
    fn from(file: OwnedFd) -> FileCopy {
        FileCopy::new(file)
    }
}
