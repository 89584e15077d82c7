//! A WASI in which there is nothing but what is granted: for plugins built for wasm32-wasip2, whose standard library imports it.
//!
//! No files, no network, no variables, no arguments, but the directories and the variables that a grant names. What is written to the
//! standard output and error is kept for the plugin's log, up to a limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::grants::{Grants, Power};

/// What is kept of a plugin's output between two looks at it: 64 KiB. More is dropped.
const KEPT: usize = 64 * 1024;

/// The context, and where what is written ends up.
pub(super) fn context(grants: &Grants) -> (WasiCtx, Arc<Mutex<Vec<u8>>>) {
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
    for directory in grants.of(Power::Directories) {
        let (path, can) = match directory.strip_suffix(":write") {
            Some(path) => (path, FsPerms::ReadWrite),
            None => (directory.as_str(), FsPerms::ReadOnly),
        };
        // One that is not there is not there for the guest either.
        if let Err(error) = builder.preopened_dir(path, path, can) {
            tracing::warn!(
                "the directory {path} that a plugin is granted cannot be opened: {error:#}"
            );
        }
    }
    (builder.build(), written)
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
