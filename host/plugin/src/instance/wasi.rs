//! Owns the WASI of an instance, for plugins built for wasm32-wasip2, whose standard library
//! imports it. It is inert but for grants: no files, network, variables or arguments, except the
//! directories and variables that the plugin is granted. Output goes to the plugin's log, up to a
//! limit.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use cap_std::fs::Dir;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::instance::environment::granted_variables;
use crate::instance::grants::{Grant, Grants, is_below_working_directory};

/// The grant of directories.
pub(crate) static DIRECTORIES: Grant = Grant {
    name: "directories",
    parameter: "DIR[:write]",
    default: None,
    built_in: None,
    check: |directory| match directory == WRITE {
        true => Err("that is no directory".to_owned()),
        false => Ok(()),
    },
    provenance: &[],
    propose: None,
    summary: "directories that the plugin sees through WASI, at the same path; `DIR:write` for one \
              that it may change",
};

/// The end of the grant of a directory that the plugin may change.
const WRITE: &str = ":write";

/// The most output that is kept between two reads: 64 KiB. More is dropped.
const MOST_OUTPUT: usize = 64 << 10;

/// The most that is kept of the end of a guest's standard error, to explain a failure: 8 KiB.
const MOST_ERRORS: usize = 8 << 10;

/// Whether a plugin may change what is in a granted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirectoryAccess {
    Read,
    Write,
}

impl Grants {
    /// Returns the granted directories.
    fn directories(&self) -> impl Iterator<Item = (&Path, DirectoryAccess)> {
        let listed = self.of(&DIRECTORIES).iter();
        listed.map(|listed| match listed.strip_suffix(WRITE) {
            Some(path) => (Path::new(path), DirectoryAccess::Write),
            None => (Path::new(listed), DirectoryAccess::Read),
        })
    }

    /// Returns the first granted directory that a project's lock cannot grant, because it reaches
    /// out of the project: one that is elsewhere, or that the plugin may change.
    pub fn beyond_project(&self) -> Option<&str> {
        let is_within = |(path, access): (&Path, DirectoryAccess)| {
            access == DirectoryAccess::Read && is_below_working_directory(path)
        };
        let index = self
            .directories()
            .position(|directory| !is_within(directory))?;
        self.of(&DIRECTORIES).get(index).map(String::as_str)
    }
}

/// The WASI of one instance.
pub(crate) struct Wasi {
    pub(crate) context: WasiCtx,
    output: Output,
    errors: ErrorTail,
}

impl Wasi {
    pub(crate) fn new(grants: &Grants) -> Self {
        let output = Output::default();
        let errors = ErrorTail {
            output: output.clone(),
            tail: Arc::default(),
        };
        let mut builder = WasiCtxBuilder::new();
        builder.stdout(output.clone()).stderr(errors.clone());
        builder
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for (name, value) in granted_variables(grants) {
            builder.env(name, value);
        }
        for (path, access) in grants.directories() {
            // For the guest, a directory that cannot be opened does not exist.
            if let Err(error) = open(&mut builder, path, access) {
                let path = path.display();
                tracing::warn!(
                    "the directory {path} that a plugin is granted cannot be opened: {error:#}"
                );
            }
        }
        Self {
            context: builder.build(),
            output,
            errors,
        }
    }

    /// Takes what the plugin has written to its standard output and error.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut *self.output.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wasi {
    /// Takes the end of what the plugin has written to its standard error, at most 8 KiB.
    pub(crate) fn take_errors(&self) -> Vec<u8> {
        std::mem::take(
            &mut *self
                .errors
                .tail
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Opens a directory for the guest, at the host's path.
fn open(
    builder: &mut WasiCtxBuilder,
    path: &Path,
    access: DirectoryAccess,
) -> wasmtime::Result<()> {
    let permissions = match access {
        DirectoryAccess::Read => FsPerms::ReadOnly,
        DirectoryAccess::Write => FsPerms::ReadWrite,
    };
    let name = path.to_string_lossy();
    if !is_below_working_directory(path) {
        builder.preopened_dir(path, name, permissions)?;
        return Ok(());
    }
    // A test can replace a project's directory by a link that leads elsewhere, so it is opened from
    // the project's directory.
    let project = Dir::open_ambient_dir(".", cap_std::ambient_authority())?;
    let directory = project.open_dir(path)?;
    builder.preopened_dir(
        format!("/proc/self/fd/{}", directory.as_raw_fd()),
        name,
        permissions,
    )?;
    Ok(())
}

/// Collects what a guest writes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = MOST_OUTPUT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(free));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Collects what a guest writes to its standard error, and keeps the end of it.
#[derive(Clone)]
struct ErrorTail {
    output: Output,
    tail: Arc<Mutex<Vec<u8>>>,
}

impl IsTerminal for ErrorTail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for ErrorTail {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for ErrorTail {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            let last = bytes.len().saturating_sub(MOST_ERRORS);
            tail.extend(bytes.iter().skip(last));
            let surplus = tail.len().saturating_sub(MOST_ERRORS);
            tail.drain(..surplus);
        }
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
