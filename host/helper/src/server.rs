//! Owns the helper's poll loop, the channel, the children and their pipes: reads requests, waits
//! for children and pipes, writes replies. Only this module reaps processes. Does not know how a
//! process is started (`start`) or how the work directory is emptied (`work_dir`).

mod files;
mod pipeline;
mod pipes;
mod reaping;
mod termination;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use persea_helper::protocol::{
    FrameReader, Hello, Id, ProtocolError, Reply, Request, Start, StartFailure, StartFailureKind,
    Usage, Welcome, decode, decode_greeting, encode, encode_greeting, truncate_text,
};
use persea_helper::tree::{self, Process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::process::{Pid, Signal, getpid, kill_process};

use self::pipeline::Pipeline;
use crate::fetch::Archive;
use crate::lease::{self, Lease};
use crate::report_socket::ReportSocket;
use crate::shared::{self, Likeness};
use crate::start::terminal::Terminal;
use crate::start::{Started, Starter};
use crate::work_dir::WorkDir;

/// How often the helper receives requests while its queue is long: every 4 ms. To wake up for each
/// request would take processor time from the tests.
const RECEIVE_INTERVAL: Duration = Duration::from_millis(4);

/// The size of unsent replies at which the helper stops to receive requests until the host reads,
/// in bytes.
const MAX_UNSENT: usize = 4 << 20;

/// Why the helper gives up before the host closes the channel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("the host sent an invalid message, so everything is ended: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("the channel ended within a message, so everything is ended")]
    Partial,
    #[error("the channel broke, so everything is ended: {0}")]
    Io(#[from] Errno),
    #[error("the host has not renewed the lease, so everything is ended")]
    LeaseOver,
    #[error("{0}")]
    Refused(String),
}

/// Whether processes may exist below the helper.
#[derive(PartialEq)]
enum Descendants {
    None,
    Possible,
}

/// A write to a child's standard input that is not complete.
struct PendingWrite {
    /// The request; none for bytes that the helper itself types on a terminal, after which the
    /// input is complete.
    id: Option<Id>,
    bytes: Vec<u8>,
    written: usize,
}

/// A read from a child's pipe that waits for bytes.
#[derive(Clone, Copy)]
struct PendingRead {
    id: Id,
    max: u32,
}

/// The pipes of a child that can be read: standard output, standard error and report.
const STREAMS: usize = 3;

struct Child {
    pid: Pid,
    is_running: bool,
    started: Instant,
    stdin: Option<OwnedFd>,
    writing: Option<PendingWrite>,
    streams: [Option<OwnedFd>; STREAMS],
    reading: [Option<PendingRead>; STREAMS],
    terminal: Option<Terminal>,
    report_socket: Option<Box<ReportSocket>>,
}

/// What a polled descriptor is for.
#[derive(Clone, Copy)]
enum EventSource {
    Requests,
    Replies,
    ChildSignals,
    Stdin(Id),
    Stream(Id, usize),
    Terminal(Id),
    ReportSocket(Id),
}

pub(crate) struct Server {
    input: OwnedFd,
    output: OwnedFd,
    /// Readable when a process below has ended.
    child_signals: SignalFd,
    frames: FrameReader,
    unsent: Vec<u8>,
    /// When requests were received last.
    last_received: Instant,
    starter: Starter,
    children: BTreeMap<Id, Child>,
    descendants: Descendants,
    /// What the reaped processes have used, as far as no reply has reported it.
    unreported_usage: Usage,
    pipeline: Pipeline,
    paused: Vec<Process>,
    work_dir: Option<WorkDir>,
    /// The archives that the host is fetching, by the requests that began them.
    archives: BTreeMap<Id, Archive>,
    /// None for a helper that lives as long as its channel is open.
    lease: Option<Lease>,
    buffer: Vec<u8>,
}

impl Server {
    pub(crate) fn new(
        input: OwnedFd,
        output: OwnedFd,
        child_signals: SignalFd,
        starter: Starter,
    ) -> Server {
        Server {
            input,
            output,
            child_signals,
            frames: FrameReader::default(),
            unsent: Vec::new(),
            last_received: Instant::now(),
            starter,
            children: BTreeMap::new(),
            descendants: Descendants::None,
            unreported_usage: Usage::default(),
            pipeline: Pipeline::default(),
            paused: Vec::new(),
            work_dir: None,
            archives: BTreeMap::new(),
            lease: None,
            buffer: vec![0; 1 << 16],
        }
    }

    /// Serves requests until the host closes the channel or an error occurs, then ends every
    /// process below and removes the work directory.
    pub(crate) fn run(mut self) -> Result<(), ServeError> {
        let served = self.serve();
        if let Err(ServeError::Refused(why)) = &served {
            // The host gets the reason too, because only the host can show it to the user.
            self.reply(&Reply::Failed {
                id: 0,
                errno: 0,
                message: truncate_text(why.clone()),
            });
            let _ = self.send();
        }
        let (_, ended) = self.end_everything();
        let removed = self
            .work_dir
            .take()
            .map_or(Ok(()), |work_dir| work_dir.remove());
        served?;
        ended.and(removed).map_err(ServeError::Refused)
    }

    fn serve(&mut self) -> Result<(), ServeError> {
        let mut greeted = false;
        loop {
            let ready = self.poll_events()?;
            // Before anything else: a renewal that is received only now has come too late.
            if self.lease.as_ref().is_some_and(|it| it.left().is_zero()) {
                return Err(ServeError::LeaseOver);
            }
            let mut ended = false;
            for source in ready {
                match source {
                    EventSource::Requests => ended = !self.receive()?,
                    EventSource::Replies => {}
                    EventSource::ChildSignals => {
                        // One signal stands for any number of ended processes.
                        let _ = self.child_signals.read_signal();
                        self.reap();
                    }
                    EventSource::Stdin(child) => self.continue_write(child),
                    EventSource::Stream(child, stream) => self.continue_read(child, stream),
                    EventSource::Terminal(child) => self.copy_terminal(child),
                    EventSource::ReportSocket(child) => self.receive_report(child),
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
            // Exits are sent before the next process starts, so that the host has them even if that
            // process kills the helper.
            self.send()?;
            self.advance_pipeline();
            self.send()?;
            if ended {
                return if self.frames.is_partial() {
                    Err(ServeError::Partial)
                } else {
                    Ok(())
                };
            }
        }
    }

    fn greet(&mut self, hello: Hello) -> Result<(), ServeError> {
        let pid = getpid().as_raw_nonzero().get().unsigned_abs();
        if let Some(variables) = hello.variables {
            let variables = variables.into_iter();
            self.starter
                .set_variables(variables.map(|(name, value)| (name.0, value.0)));
        }
        self.lease = hello.lease.map(Lease::new);
        let clock = lease::clock_in_protocol();
        let welcome = Welcome { pid, clock };
        if let Err(why) = crate::isolate::isolate(hello.isolation) {
            encode_greeting(&welcome, &mut self.unsent)?;
            return Err(ServeError::Refused(why));
        }
        if let Some(path) = &hello.work_dir {
            match WorkDir::new(&path.0) {
                Ok(work_dir) => self.work_dir = Some(work_dir),
                Err(why) => {
                    encode_greeting(&welcome, &mut self.unsent)?;
                    return Err(ServeError::Refused(why));
                }
            }
        }
        Ok(encode_greeting(&welcome, &mut self.unsent)?)
    }

    /// Waits until a descriptor is ready or a deadline of the pipeline has come.
    fn poll_events(&self) -> Result<Vec<EventSource>, ServeError> {
        let count = 3 + self.children.len() * (1 + STREAMS);
        let mut fds = Vec::with_capacity(count);
        let mut sources = Vec::with_capacity(count);
        let mut watch = |fd, flags, source| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            sources.push(source);
        };
        let receive_in = self.receive_in();
        if self.unsent.len() < MAX_UNSENT && receive_in.is_none() {
            watch(self.input.as_fd(), PollFlags::IN, EventSource::Requests);
        }
        // Watched even without anything to send: an error means that the host has closed the
        // channel.
        let sending = if self.unsent.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        watch(self.output.as_fd(), sending, EventSource::Replies);
        // Before the pipes of children: reaping a child also reads its pipes.
        watch(
            self.child_signals.as_fd(),
            PollFlags::IN,
            EventSource::ChildSignals,
        );
        for (id, child) in &self.children {
            if let (Some(fd), Some(_)) = (&child.stdin, &child.writing) {
                watch(fd.as_fd(), PollFlags::OUT, EventSource::Stdin(*id));
            }
            for (n, (fd, reading)) in child.streams.iter().zip(&child.reading).enumerate() {
                if let (Some(fd), Some(_)) = (fd, reading) {
                    watch(fd.as_fd(), PollFlags::IN, EventSource::Stream(*id, n));
                }
            }
            if let Some(Terminal {
                copied: Some((from, _)),
                ..
            }) = &child.terminal
            {
                watch(from.as_fd(), PollFlags::IN, EventSource::Terminal(*id));
            }
            if let (Some(socket), true) = (&child.report_socket, child.is_running) {
                for fd in socket.sources() {
                    watch(fd, PollFlags::IN, EventSource::ReportSocket(*id));
                }
            }
        }
        let lease = self.lease.as_ref().map(Lease::left);
        let timeouts = [self.pipeline.return_in(), receive_in, lease];
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
            if matches!(source, EventSource::Replies) && got.contains(PollFlags::ERR) {
                return Err(Errno::PIPE.into());
            }
            // A socket has many descriptors, and one event is enough for them.
            let is_known = match (source, ready.last()) {
                (EventSource::ReportSocket(id), Some(EventSource::ReportSocket(last))) => {
                    id == *last
                }
                _ => false,
            };
            if !is_known {
                ready.push(source);
            }
        }
        Ok(ready)
    }

    /// The time until requests are received again, while the queue is long; none to receive at
    /// once.
    fn receive_in(&self) -> Option<Duration> {
        let left = RECEIVE_INTERVAL.checked_sub(self.last_received.elapsed())?;
        self.pipeline.has_enough().then_some(left)
    }

    /// Receives bytes. Returns false at the end of the channel.
    fn receive(&mut self) -> Result<bool, ServeError> {
        self.last_received = Instant::now();
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

    fn send(&mut self) -> Result<(), ServeError> {
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
        // Never too large: reads are limited, and texts are truncated.
        let _ = encode(reply, &mut self.unsent);
    }

    /// Replies `Done` or `Failed`.
    fn reply_done(&mut self, id: Id, result: Result<(), (Errno, &str)>) {
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
            Request::Start { id, start } => match start.queue_position {
                Some(position) => self.enqueue(id, start, position),
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
            Request::CloseStdin { id, child } => self.close_stdin(id, child),
            Request::Signal { id, child, signal } => {
                let result =
                    signal_by_number(signal).and_then(|signal| match self.children.get(&child) {
                        // Not reaped yet, so the process number still belongs to the child.
                        Some(Child {
                            pid,
                            is_running: true,
                            ..
                        }) => {
                            kill_process(*pid, signal).map_err(|e| (e, "the signal can't be sent"))
                        }
                        _ => Err((Errno::SRCH, "the process has ended")),
                    });
                self.reply_done(id, result);
            }
            Request::SignalAll {
                id,
                only_for,
                signal,
            } => {
                let result = signal_by_number(signal).map(|signal| {
                    if self.applies_to_current_task(only_for) {
                        for process in tree::descendants(getpid()) {
                            tree::signal(&process, signal);
                        }
                    }
                });
                self.reply_done(id, result);
            }
            Request::Pause { id } => {
                self.pipeline.set_paused(true);
                if let Some(lease) = &mut self.lease {
                    lease.pause();
                }
                self.stop_all();
                self.reply_done(id, Ok(()));
            }
            Request::Resume { id } => {
                self.pipeline.set_paused(false);
                if let Some(lease) = &mut self.lease {
                    lease.resume();
                }
                for process in std::mem::take(&mut self.paused) {
                    tree::signal(&process, Signal::CONT);
                }
                self.reply_done(id, Ok(()));
            }
            Request::EndTask { id, only_for } => {
                if self.applies_to_current_task(only_for) {
                    self.end_task(id);
                } else {
                    self.reply(&Reply::TaskEnded {
                        id,
                        leftovers: 0,
                        usage: Usage::default(),
                    });
                }
            }
            Request::Renew { id, until } => {
                if let Some(lease) = &mut self.lease {
                    lease.renew(Duration::from_nanos(until));
                }
                let clock = lease::clock_in_protocol();
                self.reply(&Reply::Renewed { id, clock });
            }
            Request::Enter {
                id,
                directory,
                shared,
            } => {
                let checked = match &shared {
                    Some(files) => shared::check(files, Likeness::Probable),
                    None => Ok(()),
                };
                let entered = checked.and_then(|()| {
                    let base = self.starter.set_base(&directory.0);
                    base.map_err(|errno| (errno, format!("it cannot be entered: {errno}")))
                });
                match &entered {
                    Ok(()) => self.reply_done(id, Ok(())),
                    Err((errno, why)) => self.reply_done(id, Err((*errno, why))),
                }
            }
            Request::MakeDirectory {
                id,
                directory,
                files,
            } => self.make_directory(id, &directory, &files),
            Request::ReadFile {
                id,
                path,
                offset,
                max,
            } => self.read_file(id, &path, offset, max),
            Request::ListFiles {
                id,
                directory,
                after,
            } => self.list_files(id, &directory, &after),
            Request::Fetch {
                id,
                directory,
                made,
                limit,
                max,
            } => self.fetch(id, &directory, &made, limit, max),
            Request::FetchMore { id, archive, max } => self.fetch_more(id, archive, max),
            Request::RemoveDirectory { id, directory } => self.remove_directory(id, &directory),
            Request::Forget { child } => {
                if !self.withdraw(child) {
                    self.forget(child);
                }
            }
        }
    }

    /// Starts a process. Returns whether it runs.
    fn start(&mut self, id: Id, start: &Start) -> bool {
        let started = if self.children.contains_key(&id) {
            Err(StartFailure {
                kind: StartFailureKind::Invalid,
                errno: Errno::EXIST.raw_os_error(),
                message: format!("the id {id} belongs to another child"),
            })
        } else {
            let work_dir = self.work_dir.as_ref().map(WorkDir::path);
            self.starter.start(id, start, work_dir)
        };
        // Even after an error: the process may have existed for a moment.
        self.descendants = Descendants::Possible;
        match started {
            Err(mut failure) => {
                failure.message = truncate_text(failure.message);
                self.reply(&Reply::StartFailed { id, failure });
                false
            }
            Ok(Started {
                pid,
                at,
                stdin,
                streams,
                mut terminal,
                report_socket,
            }) => {
                let to_type = terminal.as_mut().and_then(|it| it.to_type.take());
                let types = to_type.is_some();
                self.children.insert(
                    id,
                    Child {
                        pid,
                        is_running: true,
                        started: at,
                        stdin,
                        writing: to_type.map(|bytes| PendingWrite {
                            id: None,
                            bytes,
                            written: 0,
                        }),
                        streams,
                        reading: [None; STREAMS],
                        terminal,
                        report_socket,
                    },
                );
                if types {
                    self.continue_write(id);
                }
                if !start.quiet {
                    let pid = pid.as_raw_nonzero().get().unsigned_abs();
                    self.reply(&Reply::Started { id, pid });
                }
                true
            }
        }
    }
}

fn signal_by_number(signal: i32) -> Result<Signal, (Errno, &'static str)> {
    Signal::from_named_raw(signal).ok_or((Errno::INVAL, "no signal has that number"))
}
