//! Owns starting threads where the system may refuse them (`ulimit -u`, a container's limit on
//! processes): the refusal is an error and not a panic. Does not know what the threads do.

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

/// The system refused to start a thread.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread: {}{}", .0, crate::ulimit::hint(.0))]
pub struct NoThread(io::Error);

impl NoThread {
    /// Wraps the error of the system.
    pub fn of(error: io::Error) -> Self {
        Self(error)
    }
}

/// Returns the number of processors that this process may use. Asks the system once, because each
/// call would read files of cgroups.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// The stack size of the host's threads, in bytes.
pub const STACK: usize = 2 << 20;

/// Returns a builder for a thread with this name. Sets the stack size, because the standard library
/// would otherwise take it from $RUST_MIN_STACK.
pub fn builder(name: &str) -> std::thread::Builder {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK)
}

/// How long a thread may take to start: 2 s. After that time, the start counts as refused.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the runtime has started its first thread for blocking work.
static HAS_RESERVE: AtomicBool = AtomicBool::new(false);

/// Runs `work` on a new thread. The result comes through the channel, which is closed if `work`
/// panics.
///
/// # Errors
/// The system has no more threads.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, NoThread> {
    let (sender, receiver) = oneshot::channel();
    let started = builder(name).spawn(move || {
        let _ = sender.send(work());
    });
    started.map_err(NoThread)?;
    Ok(receiver)
}

/// Makes a runtime start one thread for blocking work. The runtime must keep idle threads
/// ([`KEEP`]): when the system refuses further threads, blocking work waits for an existing one,
/// and would wait for ever without any.
///
/// # Errors
/// The system has no more threads. If the refusal comes later, [`reserved`] returns it.
pub fn reserve(runtime: &Runtime) -> Result<(), NoThread> {
    let reserve = || runtime.spawn_blocking(|| HAS_RESERVE.store(true, Ordering::Release));
    expecting_panic(reserve)
        .map(drop)
        .ok_or_else(|| NoThread(Errno::AGAIN.into()))
}

/// How long a runtime keeps its idle threads: longer than any job.
pub const KEEP: Duration = Duration::from_secs(1 << 31);

/// Waits until the thread of [`reserve`] has started.
///
/// # Errors
/// The system has no more threads.
pub async fn reserved() -> Result<(), NoThread> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !HAS_RESERVE.load(Ordering::Acquire) {
        if Instant::now() > deadline {
            return Err(NoThread(Errno::AGAIN.into()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

thread_local! {
    /// Whether a panic of this thread is expected, and therefore not printed.
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Builds a runtime.
///
/// # Errors
/// The system has no more threads or descriptors.
pub fn runtime(builder: &mut Builder) -> io::Result<Runtime> {
    expecting_panic(|| builder.build()).unwrap_or_else(|| Err(Errno::AGAIN.into()))
}

/// Runs `act`, and returns none if it panics; the panic is not printed. When tokio cannot start a
/// thread, it panics and has no other way to report it.
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
