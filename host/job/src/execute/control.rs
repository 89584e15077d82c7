//! What is asked of a job from outside: to stop, to stop at once, to stand still. Turns signals into requests; carries none out.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Why a job is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C, or another signal that ends programs.
    User,
    /// The job's time is up.
    Timeout,
    /// The journal cannot be written any more.
    Journal,
    /// The job's directory was removed or renamed.
    Directory,
}

impl Stop {
    /// The reason that interrupted tasks are given, in Avocado's words.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::User => "Test interrupted: Interrupted by user",
            Self::Timeout => "Test interrupted: Job timeout reached",
            Self::Journal => "Test interrupted: The journal cannot be written",
            Self::Directory => "Test interrupted: The job's directory is gone",
        }
    }
}

/// What the tasks of a job are to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// End, with a grace period.
    pub(crate) stop: Option<Stop>,
    /// End now.
    pub(crate) kill: bool,
}

/// A request from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// SIGINT, SIGTERM or SIGHUP.
    End,
    /// SIGTSTP: Ctrl-Z.
    StandStill,
}

/// The signals that the host minds while a job is prepared and runs. One that was ignored when the
/// host started, as by `nohup`, is not listened to: it stays ignored.
#[derive(Debug)]
pub struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    stop: Option<Signal>,
    go_on: Signal,
}

impl Signals {
    /// Takes the place of the default actions: from now on, signals wait until they are asked for.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        use rustix::process::Signal;
        let ignored = Ignored::read();
        let listen = |number: Signal| {
            let kind = SignalKind::from_raw(number.as_raw());
            let minded = !ignored.has(number.as_raw());
            minded.then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: listen(Signal::INT)?,
            terminate: listen(Signal::TERM)?,
            hangup: listen(Signal::HUP)?,
            stop: listen(Signal::TSTP)?,
            go_on: signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
        })
    }

    /// Waits until the job is to end. A request to stand still is met meanwhile.
    pub async fn end(&mut self) {
        while self.next().await == Request::StandStill {
            self.stand_still().await;
        }
    }

    /// The next request. Can be dropped and asked again without losing one.
    pub(crate) async fn next(&mut self) -> Request {
        loop {
            tokio::select! {
                biased;
                () = received(&mut self.interrupt) => return Request::End,
                () = received(&mut self.terminate) => return Request::End,
                () = received(&mut self.hangup) => return Request::End,
                () = received(&mut self.stop) => return Request::StandStill,
                // Nothing stands still, and a later request to do so is not to find it.
                _ = self.go_on.recv() => {}
            }
        }
    }

    /// Stops this process until somebody sends SIGCONT, or not at all where that has come since: who sends both one after the other would
    /// wait for ever otherwise. The default action of SIGTSTP cannot be had any more once it's handled, so it is SIGSTOP; and that takes
    /// effect somewhat after the call, so SIGCONT is waited for.
    pub(crate) async fn stand_still(&mut self) {
        // So that what has come by now is known.
        tokio::task::yield_now().await;
        let this = rustix::process::getpid();
        if !has_come(&mut self.go_on).await
            && rustix::process::kill_process(this, rustix::process::Signal::STOP).is_ok()
        {
            self.go_on.recv().await;
        }
        // Which of several came last is not known; to go on is what never hangs.
        if let Some(stop) = &mut self.stop {
            let _ = has_come(stop).await;
        }
    }
}

/// Returns when the signal comes: never, where it is ignored.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that this process ignores, as a set of bits.
struct Ignored(u64);

impl Ignored {
    /// Asks the kernel, which has no other way to read them without changing them for a moment (proc_pid_status(5)). What
    /// cannot be read is taken for none.
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

/// Whether a signal has come that was not taken yet.
async fn has_come(signal: &mut Signal) -> bool {
    let taken = tokio::time::timeout(Duration::ZERO, signal.recv()).await;
    taken.is_ok()
}

/// Waits until the tasks are to do something else than before.
pub(crate) async fn changed(control: &mut watch::Receiver<Control>) -> Control {
    if control.changed().await.is_err() {
        // The dispatcher is gone: nobody is there to ask for anything.
        std::future::pending::<()>().await;
    }
    *control.borrow_and_update()
}
