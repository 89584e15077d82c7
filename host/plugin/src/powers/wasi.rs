//! A WASI in which there is nothing but what is granted: for plugins built for wasm32-wasip2, whose standard library imports it.
//!
//! No files, no network, no variables, no arguments, but the directories and the variables that a grant names. What is written to the
//! standard output and error is kept for the plugin's log, up to a limit.

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

use crate::trust::grants::{Grants, Power, is_below};

/// What is kept of a plugin's output between two looks at it: 64 KiB. More is dropped.
const KEPT: usize = 64 * 1024;

/// The context, and where what is written ends up.
pub(crate) fn context(grants: &Grants) -> (WasiCtx, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::default();
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(Output(Arc::clone(&written)))
        .stderr(Output(Arc::clone(&written)));
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && grants.allows(Power::Environment, name)
        {
            builder.env(name, value);
        }
    }
    for (path, write) in grants.directories() {
        let can = match write {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        // One that is not there is not there for the guest either.
        if let Err(error) = open(&mut builder, path, can) {
            let path = path.display();
            tracing::warn!(
                "the directory {path} that a plugin is granted cannot be opened: {error:#}"
            );
        }
    }
    (builder.build(), written)
}

/// Gives the guest a directory at the path that it has for the host.
fn open(builder: &mut WasiCtxBuilder, path: &Path, can: FsPerms) -> wasmtime::Result<()> {
    let name = path.to_string_lossy();
    if !is_below(path) {
        builder.preopened_dir(path, name, can)?;
        return Ok(());
    }
    // One of the project is opened from there, since a test can put a link to elsewhere in its place.
    let project = Dir::open_ambient_dir(".", cap_std::ambient_authority())?;
    let directory = project.open_dir(path)?;
    builder.preopened_dir(
        format!("/proc/self/fd/{}", directory.as_raw_fd()),
        name,
        can,
    )?;
    Ok(())
}

#[derive(Clone)]
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
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
