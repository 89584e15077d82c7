//! A WASI in which there is nothing: for plugins built for wasm32-wasip2, whose standard library imports it.
//!
//! No files, no network, no variables, no arguments. What is written to the standard output and error is kept for the plugin's
//! log, up to a limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// What is kept of a plugin's output between two looks at it: 64 KiB. More is dropped.
const KEPT: usize = 64 * 1024;

/// The context, and where what is written ends up.
pub(super) fn inert() -> (WasiCtx, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::default();
    let mut builder = WasiCtxBuilder::new();
    builder
        .stdout(Output(Arc::clone(&written)))
        .stderr(Output(Arc::clone(&written)));
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
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
