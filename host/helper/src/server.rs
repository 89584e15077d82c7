//! The loop: reads requests, waits for children and pipes, writes replies. It owns the channel, the children and their
//! pipes, and is the only one that reaps. It must not know how a process is started (`start`) or what the work directory
//! looks like (`work`).

mod ending;
mod pipes;
mod turns;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use persea_helper::protocol::{
    Exit, Frames, Hello, Id, ProtocolError, Reply, Request, Stage, Start, StartFailure, Welcome,
    cut, decode, decode_greeting, encode, encode_greeting,
};
use persea_helper::tree::{self, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

use self::turns::Turns;
use crate::start::{Started, Starter};
use crate::work::WorkDir;

/// How often requests are received while there's enough to do: to be woken for each would take the processor from what runs.
const RECEIVE_EVERY: Duration = Duration::from_millis(4);
/// While more than this waits to be sent, nothing more is received: the host has to read first.
const UNSENT_MAX: usize = 4 << 20;

/// Why the helper ends before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the host sent what can't be understood, so everything is ended: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("the channel broke within a message, so everything is ended")]
    Partial,
    #[error("the channel broke, so everything is ended: {0}")]
    Io(#[from] Errno),
    #[error("{0}")]
    Refused(String),
}

/// Whether anything is left below the helper.
#[derive(PartialEq)]
enum Below {
    Nothing,
    Something,
}

struct Child {
    pid: Pid,
    running: bool,
    at: Instant,
    stdin: Option<OwnedFd>,
    writing: Option<(Id, Vec<u8>, usize)>,
    streams: [Option<OwnedFd>; 3],
    reading: [Option<(Id, u32)>; 3],
}

/// What a descriptor that is waited for belongs to.
#[derive(Clone, Copy)]
enum Source {
    Requests,
    Replies,
    Ends,
    Stdin(Id),
    Stream(Id, usize),
}

pub(crate) struct Server {
    input: OwnedFd,
    output: OwnedFd,
    /// Tells that something below has ended.
    ends: SignalFd,
    frames: Frames,
    unsent: Vec<u8>,
    /// When something was received last.
    received: Instant,
    starter: Starter,
    children: BTreeMap<Id, Child>,
    below: Below,
    turns: Turns,
    paused: Vec<Process>,
    work: Option<WorkDir>,
    buffer: Vec<u8>,
}

impl Server {
    pub(crate) fn new(input: OwnedFd, output: OwnedFd, ends: SignalFd, starter: Starter) -> Server {
        Server {
            input,
            output,
            ends,
            frames: Frames::default(),
            unsent: Vec::new(),
            received: Instant::now(),
            starter,
            children: BTreeMap::new(),
            below: Below::Nothing,
            turns: Turns::default(),
            paused: Vec::new(),
            work: None,
            buffer: vec![0; 1 << 16],
        }
    }

    /// Serves until the channel ends, then ends everything below. An error says why the channel ended otherwise.
    pub(crate) fn run(mut self) -> Result<(), Broken> {
        let served = self.serve();
        if let Err(Broken::Refused(why)) = &served {
            // The host gets it too; it is the one that can tell somebody.
            self.reply(&Reply::Failed {
                id: 0,
                errno: 0,
                message: cut(why.clone()),
            });
            let _ = self.send();
        }
        let (_, ended) = self.end_everything();
        let removed = self.work.take().map_or(Ok(()), |work| work.remove());
        served?;
        ended.and(removed).map_err(Broken::Refused)
    }

    fn serve(&mut self) -> Result<(), Broken> {
        let mut greeted = false;
        loop {
            let ready = self.wait_for_something()?;
            let mut ended = false;
            for source in ready {
                match source {
                    Source::Requests => ended = !self.receive()?,
                    Source::Replies => {}
                    Source::Ends => {
                        // However many there are, the signal is there once.
                        let _ = self.ends.read_signal();
                        self.reap();
                    }
                    Source::Stdin(child) => self.continue_write(child),
                    Source::Stream(child, stream) => self.continue_read(child, stream),
                }
            }
            if !greeted && let Some(frame) = self.frames.next_frame()? {
                let hello: Hello = decode_greeting(frame)?;
                greeted = true;
                self.greet(hello)?;
            }
            while greeted && let Some(frame) = self.frames.next_frame()? {
                let request = decode(frame)?;
                self.handle(request);
            }
            // What has ended is told before anything else starts, so that it's known whatever becomes of the helper then.
            self.send()?;
            self.take_turns();
            self.send()?;
            if ended {
                return if self.frames.is_partial() {
                    Err(Broken::Partial)
                } else {
                    Ok(())
                };
            }
        }
    }

    fn greet(&mut self, hello: Hello) -> Result<(), Broken> {
        let pid = getpid().as_raw_nonzero().get().unsigned_abs();
        if let Some(variables) = hello.variables {
            let variables = variables.into_iter();
            self.starter
                .begin_with(variables.map(|(name, value)| (name.0, value.0)));
        }
        if let Err(why) = crate::isolate::isolate(hello.isolation) {
            encode_greeting(&Welcome { pid }, &mut self.unsent)?;
            return Err(Broken::Refused(why));
        }
        if let Some(path) = &hello.work_dir {
            match WorkDir::new(&path.0) {
                Ok(work) => self.work = Some(work),
                Err(why) => {
                    encode_greeting(&Welcome { pid }, &mut self.unsent)?;
                    return Err(Broken::Refused(why));
                }
            }
        }
        Ok(encode_greeting(&Welcome { pid }, &mut self.unsent)?)
    }

    fn wait_for_something(&self) -> Result<Vec<Source>, Broken> {
        let count = 3 + self.children.len() * 4;
        let mut fds = Vec::with_capacity(count);
        let mut sources = Vec::with_capacity(count);
        let mut watch = |fd, flags, source| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            sources.push(source);
        };
        let gather = self.gather_for();
        if self.unsent.len() < UNSENT_MAX && gather.is_none() {
            watch(self.input.as_fd(), PollFlags::IN, Source::Requests);
        }
        // Also without anything to send: an error tells that nobody reads any more.
        let sending = if self.unsent.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        watch(self.output.as_fd(), sending, Source::Replies);
        // Before all that children have written: it is read at their ends too.
        watch(self.ends.as_fd(), PollFlags::IN, Source::Ends);
        for (id, child) in &self.children {
            if let (Some(fd), Some(_)) = (&child.stdin, &child.writing) {
                watch(fd.as_fd(), PollFlags::OUT, Source::Stdin(*id));
            }
            for (n, (fd, reading)) in child.streams.iter().zip(&child.reading).enumerate() {
                if let (Some(fd), Some(_)) = (fd, reading) {
                    watch(fd.as_fd(), PollFlags::IN, Source::Stream(*id, n));
                }
            }
        }
        let timeouts = [self.turns.give_back_in(), gather];
        let timeout = timeouts.into_iter().flatten().min();
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut ready = Vec::with_capacity(2);
        for (fd, source) in fds.iter().zip(sources) {
            let got = fd.revents();
            if got.is_empty() {
                continue;
            }
            if matches!(source, Source::Replies) && got.contains(PollFlags::ERR) {
                return Err(Errno::PIPE.into());
            }
            ready.push(source);
        }
        Ok(ready)
    }

    /// How long requests may still gather, where there's enough to do.
    fn gather_for(&self) -> Option<Duration> {
        let left = RECEIVE_EVERY.checked_sub(self.received.elapsed())?;
        self.turns.are_enough().then_some(left)
    }

    /// False at the channel's end.
    fn receive(&mut self) -> Result<bool, Broken> {
        self.received = Instant::now();
        match read(&self.input, &mut self.buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.frames.push(self.buffer.get(..n).unwrap_or_default());
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    fn send(&mut self) -> Result<(), Broken> {
        while !self.unsent.is_empty() {
            match write(&self.output, &self.unsent) {
                Ok(n) if n == self.unsent.len() => self.unsent.clear(),
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn reply(&mut self, reply: &Reply) {
        // None is ever too large: what is read is limited, and texts are cut.
        let _ = encode(reply, &mut self.unsent);
    }

    fn done(&mut self, id: Id, result: Result<(), (Errno, &str)>) {
        self.reply(&match result {
            Ok(()) => Reply::Done { id },
            Err((errno, message)) => Reply::Failed {
                id,
                errno: errno.raw_os_error(),
                message: message.to_owned(),
            },
        });
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Start { id, start } => match start.in_turn {
                Some(line) => self.line_up(id, start, line),
                None => {
                    self.start(id, &start);
                }
            },
            Request::Read {
                id,
                child,
                stream,
                max,
            } => self.read(id, child, stream, max),
            Request::Write { id, child, bytes } => self.write(id, child, bytes.0),
            Request::CloseStdin { id, child } => {
                if let Some(child) = self.children.get_mut(&child) {
                    child.stdin = None;
                    if let Some((write, ..)) = child.writing.take() {
                        self.done(write, Err((Errno::PIPE, "its standard input was closed")));
                    }
                }
                self.done(id, Ok(()));
            }
            Request::Signal { id, child, signal } => {
                let result = named(signal).and_then(|signal| match self.children.get(&child) {
                    // Not yet reaped, so the number is still its own.
                    Some(Child {
                        pid, running: true, ..
                    }) => kill_process(*pid, signal).map_err(|e| (e, "the signal can't be sent")),
                    _ => Err((Errno::SRCH, "the process has ended")),
                });
                self.done(id, result);
            }
            Request::SignalAll { id, of, signal } => {
                let result = named(signal).map(|signal| {
                    if self.is_for_all(of) {
                        for process in tree::descendants(getpid()) {
                            tree::signal(&process, signal);
                        }
                    }
                });
                self.done(id, result);
            }
            Request::Pause { id } => {
                self.turns.stand_still(true);
                self.stop_all();
                self.done(id, Ok(()));
            }
            Request::Resume { id } => {
                self.turns.stand_still(false);
                for process in std::mem::take(&mut self.paused) {
                    tree::signal(&process, Signal::CONT);
                }
                self.done(id, Ok(()));
            }
            Request::EndTask { id, of } => {
                if self.is_for_all(of) {
                    self.end_task(id);
                } else {
                    self.reply(&Reply::Ended { id, left: 0 });
                }
            }
            Request::Forget { child } => {
                if !self.give_back(child) {
                    self.forget(child);
                }
            }
        }
    }

    /// Starts a process. Whether it runs.
    fn start(&mut self, id: Id, start: &Start) -> bool {
        let started = if self.children.contains_key(&id) {
            Err(StartFailure {
                stage: Stage::Invalid,
                errno: Errno::EXIST.raw_os_error(),
                message: format!("the number {id} is another child's"),
            })
        } else {
            self.starter.start(start)
        };
        // Also after an error: it may have come after the process.
        self.below = Below::Something;
        match started {
            Err(mut failure) => {
                failure.message = cut(failure.message);
                self.reply(&Reply::StartFailed { id, failure });
                false
            }
            Ok(Started {
                pid,
                at,
                stdin,
                streams,
            }) => {
                self.children.insert(
                    id,
                    Child {
                        pid,
                        running: true,
                        at,
                        stdin,
                        writing: None,
                        streams,
                        reading: [None; 3],
                    },
                );
                if !start.quiet {
                    let pid = pid.as_raw_nonzero().get().unsigned_abs();
                    self.reply(&Reply::Started { id, pid });
                }
                true
            }
        }
    }

    /// Takes the status of every process that has ended, and reports those that were started here.
    fn reap(&mut self) {
        let mut exited: Vec<(Id, Exit)> = Vec::new();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => exited.extend(self.take_exit(pid, status)),
                Ok(None) => break,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.below = Below::Nothing;
                    break;
                }
            }
        }
        if exited.is_empty() {
            return;
        }
        let clean =
            self.below == Below::Nothing && self.work.as_ref().is_none_or(WorkDir::is_untouched);
        for (id, exit) in exited {
            for stream in 0..3 {
                self.continue_read(id, stream);
            }
            let exit = Exit { clean, ..exit };
            let exit = self.end_turn(id, exit);
            self.reply(&Reply::Exited { id, exit });
        }
    }

    fn take_exit(&mut self, pid: Pid, status: WaitStatus) -> Option<(Id, Exit)> {
        let ended = |(_, child): &(&Id, &mut Child)| child.pid == pid && child.running;
        let (id, child) = self.children.iter_mut().find(ended)?;
        let id = *id;
        let exit = Exit {
            code: status.exit_status(),
            signal: status.terminating_signal(),
            duration_ns: child.at.elapsed().as_nanos().try_into().unwrap_or(u64::MAX),
            clean: false,
            left: 0,
        };
        child.running = false;
        if child.stdin.is_none() && child.streams.iter().all(Option::is_none) {
            self.children.remove(&id);
        }
        Some((id, exit))
    }
}

fn named(signal: i32) -> Result<Signal, (Errno, &'static str)> {
    Signal::from_named_raw(signal).ok_or((Errno::INVAL, "there is no signal of that number"))
}
