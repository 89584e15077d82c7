//! Owns the helper's poll loop, the channel, the children and their pipes: reads requests, waits
//! for children and pipes, writes replies. Only this module reaps processes. Does not know how a
//! process is started (`start`) or how the work directory is emptied (`work_dir`).

mod events;
mod files;
mod pipeline;
mod pipes;
mod reaping;
mod requests;
mod termination;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::sys::signalfd::SignalFd;
use persea_helper::protocol::{
    FrameReader, Hello, Id, ProtocolError, Reply, Usage, Welcome, decode, decode_greeting, encode,
    encode_greeting, truncate_text,
};
use persea_helper::tree::Process;
use rustix::io::Errno;
use rustix::process::{Pid, getpid};

use self::events::EventSource;
use self::pipeline::Pipeline;
use crate::fetch::Archive;
use crate::lease::{self, Lease};
use crate::report_socket::ReportSocket;
use crate::start::Starter;
use crate::start::terminal::Terminal;
use crate::work_dir::WorkDir;

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
}
