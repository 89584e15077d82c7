//! The threads on which guests compute: one for each processor. It must not know what they compute.
//!
//! The job itself (messages, journal, processes) lives on one other thread: it hardly computes, and among several threads
//! it would mostly wake one by the other. Most calls into guests are over in some microseconds, and are made there too. One that
//! computes for longer is carried on here.

use std::future::{Future, poll_fn};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// What computes for so long at a stretch is carried on elsewhere: 2 ms. A guest is stopped for that at the next tick
/// of the engine's clock.
const LONG: Duration = Duration::from_millis(2);

/// Started when they are used for the first time.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<Threads>);

#[derive(Default)]
struct Threads(OnceLock<Option<Runtime>>);

impl Workers {
    /// Where to spawn what computes. To be called in a runtime, which is taken where the system has no more threads.
    pub(crate) fn handle(&self) -> Handle {
        let runtime = self.0.0.get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder
                // Said explicitly, as the library would otherwise ask $TOKIO_WORKER_THREADS and $RUST_MIN_STACK.
                .worker_threads(std::thread::available_parallelism().map_or(1, usize::from))
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

    /// Spawns what mostly waits on the current runtime, and carries it on elsewhere should it compute.
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
            // Waiting for threads is forbidden in a runtime, and nothing that matters runs there any more.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// The thread on which the task is, before and after it has computed for this time.
    async fn threads(compute: Duration) -> Vec<Option<String>> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let workers = Workers::default();
        workers.spawn(async move {
            let name = || std::thread::current().name().map(str::to_owned);
            let _ = tell.send(name());
            let begun = Instant::now();
            while begun.elapsed() < compute {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            let _ = tell.send(name());
        });
        let mut names = Vec::new();
        while let Some(name) = told.recv().await {
            names.push(name);
        }
        names
    }

    #[tokio::test]
    async fn what_computes_for_long_moves_away() {
        let names = threads(2 * LONG).await;
        assert_ne!(names.first(), names.last());
        assert_eq!(names.last(), Some(&Some("persea-guest".to_owned())));
    }

    #[tokio::test]
    async fn what_waits_stays() {
        let names = threads(Duration::ZERO).await;
        assert_eq!(names.len(), 2);
        assert_eq!(names.first(), names.last());
    }
}
