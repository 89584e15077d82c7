//! Threads where the system may have no more of them (`ulimit -u`, a container's limit on processes): starts them or says why
//! not. Does not know what they do.

use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// No thread could be had.
#[derive(Debug, thiserror::Error)]
#[error("no thread can be had: {}{}", .0, crate::ulimit::hint(.0))]
pub struct NoThread(io::Error);

impl NoThread {
    /// With what the system said.
    pub fn of(error: io::Error) -> Self {
        Self(error)
    }
}

/// How many processors this process may use. The system is asked once: each question reads files of cgroups.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// The stack of the host's threads, in bytes.
pub const STACK: usize = 2 << 20;

/// A thread with this name. Its stack's size is given, because the standard library would otherwise ask $RUST_MIN_STACK.
pub fn builder(name: &str) -> std::thread::Builder {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK)
}

/// How long a thread may take to start: more takes only a system that has none.
const STARTS_WITHIN: Duration = Duration::from_secs(2);

/// Whether the runtime has a thread for what blocks.
static HAS_RESERVE: AtomicBool = AtomicBool::new(false);

/// Does `work` on a thread of its own. The answer comes by the channel, which is closed where `work` panics.
///
/// # Errors
/// The system has no more threads.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, NoThread> {
    let (tell, told) = oneshot::channel();
    let started = builder(name).spawn(move || {
        let _ = tell.send(work());
    });
    started.map_err(NoThread)?;
    Ok(told)
}

/// Has a runtime start one of its threads for what blocks. It must keep such threads ([`KEEP`]): where a further one cannot be
/// had, work waits for one that there is, and would wait for ever if there were none.
///
/// # Errors
/// The system has no more threads. Where that shows later, [`reserved`] says it.
pub fn reserve(runtime: &Runtime) -> Result<(), NoThread> {
    let reserve = || runtime.spawn_blocking(|| HAS_RESERVE.store(true, Ordering::Release));
    expecting_panic(reserve)
        .map(drop)
        .ok_or_else(|| NoThread(Errno::AGAIN.into()))
}

/// How long a runtime is to keep threads that have nothing to do: longer than any job.
pub const KEEP: Duration = Duration::from_secs(1 << 31);

/// Waits until the thread that [`reserve`] asks for is there; as a rule it is.
///
/// # Errors
/// The system has no more threads.
pub async fn reserved() -> Result<(), NoThread> {
    let until = Instant::now() + STARTS_WITHIN;
    while !HAS_RESERVE.load(Ordering::Acquire) {
        if Instant::now() > until {
            return Err(NoThread(Errno::AGAIN.into()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

thread_local! {
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Builds a runtime.
///
/// # Errors
/// The system has no more threads or descriptors.
pub fn runtime(builder: &mut Builder) -> io::Result<Runtime> {
    expecting_panic(|| builder.build()).unwrap_or_else(|| Err(Errno::AGAIN.into()))
}

/// Does what panics where tokio gets no thread, which has no other way to say so. None where it has, without a text.
fn expecting_panic<T>(act: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_EXPECTED.get() {
                usual(panic);
            }
        }));
    });
    IS_EXPECTED.set(true);
    let done = catch_unwind(AssertUnwindSafe(act));
    IS_EXPECTED.set(false);
    done.ok()
}
