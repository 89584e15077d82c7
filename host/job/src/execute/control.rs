//! Owns the conversion of signals into requests to a job: to stop, to kill, to pause. Does not
//! carry them out.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Why a job is stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// SIGINT, SIGTERM or SIGHUP.
    User,
    /// The job has reached its timeout.
    Timeout,
    /// The journal cannot be written.
    Journal,
    /// The job's directory was removed or renamed.
    Directory,
}

impl StopReason {
    /// The reason of interrupted tasks, in Avocado's words.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::User => "Test interrupted: Interrupted by user",
            Self::Timeout => "Test interrupted: Job timeout reached",
            Self::Journal => "Test interrupted: The journal cannot be written",
            Self::Directory => "Test interrupted: The job's directory is gone",
        }
    }
}

/// What the dispatcher asks of all executors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// End with a grace period.
    pub(crate) stop: Option<StopReason>,
    /// End without a grace period.
    pub(crate) kill: bool,
}

/// A request from outside the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalRequest {
    /// SIGINT, SIGTERM or SIGHUP.
    Stop,
    /// SIGTSTP: Ctrl-Z.
    Pause,
}

/// The signals that the host handles while a job is prepared and runs. A signal that was ignored
/// when the host started, as by `nohup`, stays ignored.
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    stop: Option<Signal>,
    resume: Signal,
}

impl Signals {
    /// Replaces the default actions: from now on, signals queue until they are asked for.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        use rustix::process::Signal;
        let ignored = Ignored::read();
        let listen = |number: Signal| {
            let kind = SignalKind::from_raw(number.as_raw());
            let is_handled = !ignored.has(number.as_raw());
            is_handled.then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: listen(Signal::INT)?,
            terminate: listen(Signal::TERM)?,
            hangup: listen(Signal::HUP)?,
            stop: listen(Signal::TSTP)?,
            resume: signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
        })
    }

    /// Waits for a request to end the job. Requests to pause are carried out meanwhile.
    pub async fn end(&mut self) {
        while self.next().await == SignalRequest::Pause {
            self.pause().await;
        }
    }

    /// Waits for the next request. Cancel-safe: a dropped call loses none.
    pub(crate) async fn next(&mut self) -> SignalRequest {
        loop {
            tokio::select! {
                biased;
                () = received(&mut self.interrupt) => return SignalRequest::Stop,
                () = received(&mut self.terminate) => return SignalRequest::Stop,
                () = received(&mut self.hangup) => return SignalRequest::Stop,
                () = received(&mut self.stop) => return SignalRequest::Pause,
                // Nothing is paused: this SIGCONT must not count for a later pause.
                _ = self.resume.recv() => {}
            }
        }
    }

    /// Pauses this process until SIGCONT, or not at all where SIGCONT has come since: whoever sends
    /// both in quick succession would otherwise wait for ever. A handled SIGTSTP has no default
    /// action any more, so the process sends itself SIGSTOP. That takes effect only some time after
    /// the call, so SIGCONT is awaited.
    pub(crate) async fn pause(&mut self) {
        // Lets the runtime deliver the signals that have arrived.
        tokio::task::yield_now().await;
        let this = rustix::process::getpid();
        if !has_arrived(&mut self.resume).await
            && rustix::process::kill_process(this, rustix::process::Signal::STOP).is_ok()
        {
            self.resume.recv().await;
        }
        // The order of several signals is unknown; to continue never hangs.
        if let Some(stop) = &mut self.stop {
            let _ = has_arrived(stop).await;
        }
    }
}

/// Returns when the signal arrives; never for an ignored one.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that this process ignores, as a set of bits.
struct Ignored(u64);

impl Ignored {
    /// Reads the set from `/proc`: any other way changes it for a moment (proc_pid_status(5)). An
    /// unreadable set counts as empty.
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let bits = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        Self(bits.unwrap_or_default())
    }

    fn has(&self, number: i32) -> bool {
        u32::try_from(number - 1).is_ok_and(|bit| self.0 >> bit & 1 == 1)
    }
}

/// Whether a signal has arrived that was not taken yet.
async fn has_arrived(signal: &mut Signal) -> bool {
    let taken = tokio::time::timeout(Duration::ZERO, signal.recv()).await;
    taken.is_ok()
}

/// Waits for the dispatcher's next request.
pub(crate) async fn changed(control: &mut watch::Receiver<Control>) -> Control {
    if control.changed().await.is_err() {
        // The dispatcher is gone, so no request can follow.
        std::future::pending::<()>().await;
    }
    *control.borrow_and_update()
}
