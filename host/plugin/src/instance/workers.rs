//! Owns the threads on which guests compute, one for each processor. Does not know about what they
//! compute.
//!
//! The job itself (messages, journal, processes) runs on one other thread: it hardly computes, and
//! several threads would mostly wake each other. Most calls into guests take microseconds and run
//! on that thread too. A call that computes for longer moves to these threads.

use std::future::{Future, poll_fn};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// The computing time after which a call moves to another thread: 2 ms. A guest yields for that at
/// the engine's next tick.
const LONG: Duration = Duration::from_millis(2);

/// The threads. They start when they are used for the first time.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<Threads>);

#[derive(Default)]
struct Threads(OnceLock<Option<Runtime>>);

impl Workers {
    /// Returns where to spawn a call that computes: the current runtime, in which this must be
    /// called, if the system refuses more threads.
    pub(crate) fn handle(&self) -> Handle {
        let runtime = self.0.0.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder
                // By default, the variables TOKIO_WORKER_THREADS and RUST_MIN_STACK would decide.
                .worker_threads(persea_system::threads::processors())
                .thread_stack_size(persea_system::threads::STACK)
                .thread_name("persea-guest")
                .enable_all();
            persea_system::threads::runtime(&mut builder)
                .inspect_err(|error| tracing::warn!("no threads for plugins: {error}"))
                .ok()
        });
        match runtime {
            Some(runtime) => runtime.handle().clone(),
            None => Handle::current(),
        }
    }

    /// Spawns a future that mostly waits on the current runtime. The future moves to these threads
    /// when it computes for long.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let workers = self.clone();
        let mut future = Some(Box::pin(future));
        tokio::spawn(poll_fn(move |context| {
            let Some(here) = &mut future else {
                return Poll::Ready(());
            };
            let begun = Instant::now();
            let done = here.as_mut().poll(context);
            if done.is_pending()
                && begun.elapsed() > LONG
                && let Some(away) = future.take()
            {
                workers.handle().spawn(away);
                return Poll::Ready(());
            }
            done
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take().flatten() {
            // A runtime must not block on threads, and nothing that anybody waits for runs there.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// Returns the threads on which a future runs before and after it computes for this time.
    async fn threads(compute: Duration) -> Vec<Option<String>> {
        let (send, mut receive) = mpsc::unbounded_channel();
        let workers = Workers::default();
        workers.spawn(async move {
            let name = || std::thread::current().name().map(str::to_owned);
            let _ = send.send(name());
            let begun = Instant::now();
            while begun.elapsed() < compute {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            let _ = send.send(name());
        });
        let mut names = Vec::new();
        while let Some(name) = receive.recv().await {
            names.push(name);
        }
        names
    }

    #[tokio::test]
    async fn computing_future_moves_to_a_worker() {
        let names = threads(2 * LONG).await;
        assert_ne!(names.first(), names.last());
        assert_eq!(names.last(), Some(&Some("persea-guest".to_owned())));
    }

    #[tokio::test]
    async fn waiting_future_stays() {
        let names = threads(Duration::ZERO).await;
        assert_eq!(names.len(), 2);
        assert_eq!(names.first(), names.last());
    }
}
