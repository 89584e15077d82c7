//! Owns what the helper does for each request of the host.

use std::time::Duration;

use persea_helper::protocol::{
    Id, Reply, Request, Start, StartFailure, StartFailureKind, Usage, truncate_text,
};
use persea_helper::tree;
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::{Child, Descendants, PendingWrite, STREAMS, Server};
use crate::lease;
use crate::shared::{self, Likeness};
use crate::start::Started;
use crate::work_dir::WorkDir;

impl Server {
    /// Carries out one request of the host.
    pub(super) fn handle(&mut self, request: Request) {
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
    pub(super) fn start(&mut self, id: Id, start: &Start) -> bool {
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
