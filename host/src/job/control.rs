//! What is asked of a job from outside: to stop, to stop at once, to stand still. Turns signals into requests; carries none out.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Why a job is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Ctrl-C, or another signal that ends programs.
    User,
    /// The job's time is up.
    Timeout,
    /// The journal cannot be written any more.
    Journal,
}

impl Stop {
    /// The reason that interrupted tasks are given, in Avocado's words.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::User => "Test interrupted: Interrupted by user",
            Self::Timeout => "Test interrupted: Job timeout reached",
            Self::Journal => "Test interrupted: The journal cannot be written",
        }
    }
}

/// What the tasks of a job are to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// End, with a grace period.
    pub(super) stop: Option<Stop>,
    /// End now.
    pub(super) kill: bool,
}

/// A request from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// SIGINT, SIGTERM or SIGHUP.
    End,
    /// SIGTSTP: Ctrl-Z.
    StandStill,
}

/// The signals that the host minds while a job runs.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stop: Signal,
    go_on: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// The next request. Can be dropped and asked again without losing one.
    pub(super) async fn next(&mut self) -> Request {
        loop {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => return Request::End,
                _ = self.terminate.recv() => return Request::End,
                _ = self.hangup.recv() => return Request::End,
                _ = self.stop.recv() => return Request::StandStill,
                // Nothing stands still, and a later request to do so is not to find it.
                _ = self.go_on.recv() => {}
            }
        }
    }

    /// Stops this process until somebody sends SIGCONT, or not at all where that has come since: who sends both one after the other would
    /// wait for ever otherwise. The default action of SIGTSTP cannot be had any more once it's handled, so it is SIGSTOP; and that takes
    /// effect somewhat after the call, so SIGCONT is waited for.
    pub(super) async fn stand_still(&mut self) {
        // So that what has come by now is known.
        tokio::task::yield_now().await;
        let this = rustix::process::getpid();
        if !has_come(&mut self.go_on).await
            && rustix::process::kill_process(this, rustix::process::Signal::STOP).is_ok()
        {
            self.go_on.recv().await;
        }
        // Which of several came last is not known; to go on is what never hangs.
        let _ = has_come(&mut self.stop).await;
    }
}

/// Whether a signal has come that was not taken yet.
async fn has_come(signal: &mut Signal) -> bool {
    let taken = tokio::time::timeout(Duration::ZERO, signal.recv()).await;
    taken.is_ok()
}

/// Waits until the tasks are to do something else than before.
pub(super) async fn changed(control: &mut watch::Receiver<Control>) -> Control {
    if control.changed().await.is_err() {
        // The dispatcher is gone: nobody is there to ask for anything.
        std::future::pending::<()>().await;
    }
    *control.borrow_and_update()
}
