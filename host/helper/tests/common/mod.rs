//! A minimal host: one blocking connection to the real helper.
// No test program uses all of it.
#![allow(unreachable_pub, dead_code, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use persea_helper::protocol::{
    Bytes, Exit, FrameReader, Hello, Id, Reply, Request, Start, StartFailure, Stream, Welcome,
    decode, decode_greeting, encode, encode_greeting,
};
use rustix::process::{Pid, Signal, kill_process};

/// How long the tests wait for anything: 20 s.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the processes that have a text in their command lines.
pub fn process_with(text: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_str().unwrap_or("").parse() else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    found
}

pub fn send_signal(pid: i32, signal: i32) {
    kill_process(
        Pid::from_raw(pid).unwrap(),
        Signal::from_named_raw(signal).unwrap(),
    )
    .unwrap();
}

pub fn start(program: &str, args: &[&str]) -> Start {
    Start {
        program: program.to_owned(),
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        ..Start::default()
    }
}

pub fn sh(script: &str) -> Start {
    start("sh", &["-c", script])
}

pub struct Helper {
    process: Child,
    channel: Option<UnixStream>,
    frames: FrameReader,
    exits: HashMap<Id, Exit>,
    replies: HashMap<Id, Reply>,
    next: Id,
    dir: tempfile::TempDir,
    pub pid: i32,
}

impl Helper {
    pub fn new() -> Helper {
        let mut helper = Helper::silent();
        helper.greet();
        helper
    }

    /// A helper whose parent ignores signals, like a shell's background job under nohup.
    pub fn with_ignored_signals() -> Helper {
        // The C library reserves the signals 32 and 33, so only the system call itself can ignore
        // them: rt_sigaction(2), with SIG_IGN as the handler.
        let call = if cfg!(target_arch = "x86_64") {
            13
        } else {
            134
        };
        let ignore = format!(
            "my $action = pack('Q4', 1, 0, 0, 0); \
             for my $signal (32, 33) {{ \
                 syscall({call}, $signal, $action, 0, 8) == 0 or die $! \
             }} exec @ARGV"
        );
        let mut command = Command::new("sh");
        let script = "trap '' HUP INT QUIT TERM USR1 TSTP CHLD; exec perl -e \"$1\" \"$0\"";
        command.args(["-c", script, env!("CARGO_BIN_EXE_persea-helper"), &ignore]);
        let mut helper = Helper::spawn(command);
        helper.greet();
        helper
    }

    /// A helper on a kernel without CONFIG_PROC_CHILDREN, simulated by an empty file system over
    /// the lists of children.
    pub fn without_lists_of_children() -> Helper {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs none /proc/$$/task/$$ && exec \"$0\"";
        // Only a user who may not mount needs a user namespace.
        let own = if rustix::process::getuid().is_root() {
            "-m"
        } else {
            "-rm"
        };
        command.args([own, "sh", "-c", script, env!("CARGO_BIN_EXE_persea-helper")]);
        let mut helper = Helper::spawn(command);
        helper.greet();
        helper
    }

    /// A helper that has not been greeted.
    pub fn silent() -> Helper {
        Helper::spawn(Command::new(env!("CARGO_BIN_EXE_persea-helper")))
    }

    fn spawn(mut command: Command) -> Helper {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let process = command
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone().unwrap())))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Helper {
            pid: process.id().try_into().unwrap(),
            process,
            channel: Some(ours),
            frames: FrameReader::default(),
            exits: HashMap::new(),
            replies: HashMap::new(),
            next: 1,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn greet(&mut self) {
        let work = self.work_dir();
        self.hello(Some(&work), None);
    }

    pub fn hello(&mut self, work: Option<&Path>, variables: Option<&[(&str, &str)]>) {
        let bytes = |text: &str| Bytes(text.into());
        let pair = |(name, value): &(&str, &str)| (bytes(name), bytes(value));
        let hello = Hello {
            work_dir: work.map(|path| bytes(path.to_str().unwrap())),
            variables: variables.map(|all| all.iter().map(pair).collect()),
            ..Hello::default()
        };
        self.greet_with(&hello);
    }

    pub fn greet_with(&mut self, hello: &Hello) {
        let mut bytes = Vec::new();
        encode_greeting(hello, &mut bytes).unwrap();
        self.send_bytes(&bytes);
        let frame = self.frame();
        let welcome: Welcome = decode_greeting(&frame).unwrap();
        assert_eq!(i64::from(welcome.pid), i64::from(self.pid));
    }

    pub fn work_dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A unique number of seconds to sleep, by which a test finds its processes.
    pub fn mark(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("3600.{}{n:03}", std::process::id())
    }

    pub fn id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    pub fn send(&mut self, request: &Request) {
        let mut bytes = Vec::new();
        encode(request, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.channel.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return frame.to_vec();
            }
            let n = self.channel.as_mut().unwrap().read(&mut buffer).unwrap();
            assert!(n > 0, "the helper closed the channel: {}", self.log());
            self.frames.push(&buffer[..n]);
        }
    }

    pub fn receive(&mut self) -> Reply {
        decode(&self.frame()).unwrap()
    }

    pub fn reply(&mut self, wanted: Id) -> Reply {
        loop {
            if let Some(reply) = self.replies.remove(&wanted) {
                return reply;
            }
            self.keep_one();
        }
    }

    /// Whether a reply was already received while the test waited for another one.
    pub fn has_reply(&self, id: Id) -> bool {
        self.replies.contains_key(&id)
    }

    fn keep_one(&mut self) {
        let reply = self.receive();
        let id = match &reply {
            Reply::Exited { id, exit } => {
                self.exits.insert(*id, *exit);
                return;
            }
            Reply::Started { id, .. }
            | Reply::StartFailed { id, .. }
            | Reply::Data { id, .. }
            | Reply::Files { id, .. }
            | Reply::Done { id }
            | Reply::Failed { id, .. }
            | Reply::Renewed { id, .. }
            | Reply::TaskEnded { id, .. } => *id,
        };
        self.replies.insert(id, reply);
    }

    pub fn run(&mut self, start: Start) -> Exit {
        let id = self.id();
        self.send(&Request::Start {
            id,
            start: Start {
                quiet: true,
                ..start
            },
        });
        self.exit(id)
    }

    pub fn start(&mut self, start: Start) -> (Id, u32) {
        let id = self.id();
        self.send(&Request::Start { id, start });
        match self.reply(id) {
            Reply::Started { pid, .. } => (id, pid),
            other => panic!("{other:?}"),
        }
    }

    pub fn start_fails(&mut self, start: Start) -> StartFailure {
        let id = self.id();
        self.send(&Request::Start {
            id,
            start: Start {
                quiet: true,
                ..start
            },
        });
        match self.reply(id) {
            Reply::StartFailed { failure, .. } => failure,
            other => panic!("{other:?}"),
        }
    }

    pub fn exit(&mut self, child: Id) -> Exit {
        loop {
            if let Some(exit) = self.exits.remove(&child) {
                return exit;
            }
            if let Some(Reply::StartFailed { failure, .. }) = self.replies.get(&child) {
                panic!("{failure:?}");
            }
            self.keep_one();
        }
    }

    pub fn read(&mut self, child: Id, stream: Stream) -> Vec<u8> {
        let id = self.id();
        self.send(&Request::Read {
            id,
            child,
            stream,
            max: 1 << 20,
        });
        match self.reply(id) {
            Reply::Data { bytes, .. } => bytes.0,
            other => panic!("{other:?}"),
        }
    }

    pub fn read_all(&mut self, child: Id, stream: Stream) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let some = self.read(child, stream);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    pub fn write(&mut self, child: Id, bytes: &[u8]) -> Result<(), i32> {
        let id = self.id();
        self.send(&Request::Write {
            id,
            child,
            bytes: Bytes(bytes.to_vec()),
        });
        match self.reply(id) {
            Reply::Done { .. } => Ok(()),
            Reply::Failed { errno, .. } => Err(errno),
            other => panic!("{other:?}"),
        }
    }

    pub fn request(&mut self, make: impl FnOnce(Id) -> Request) {
        let id = self.id();
        self.send(&make(id));
        assert_eq!(self.reply(id), Reply::Done { id });
    }

    pub fn close_stdin(&mut self, child: Id) {
        self.request(|id| Request::CloseStdin { id, child });
    }

    pub fn signal_all(&mut self, signal: i32) {
        self.request(|id| Request::SignalAll {
            id,
            only_for: None,
            signal,
        });
    }

    pub fn failure(&mut self, id: Id) -> i32 {
        match self.reply(id) {
            Reply::Failed { errno, .. } => errno,
            other => panic!("{other:?}"),
        }
    }

    pub fn end_task(&mut self) -> u32 {
        self.end(None)
    }

    /// Ends a task, and returns how many processes were left.
    pub fn end(&mut self, only_for: Option<Id>) -> u32 {
        let id = self.id();
        self.send(&Request::EndTask { id, only_for });
        match self.reply(id) {
            Reply::TaskEnded { leftovers, .. } => leftovers,
            other => panic!("{other:?}"),
        }
    }

    pub fn kill(&self, signal: i32) {
        send_signal(self.pid, signal);
    }

    pub fn close(&mut self) {
        self.channel = None;
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the helper ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// What the helper wrote to its standard error. Waits for its end.
    pub fn log(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = &mut self.process.stderr {
            stderr.read_to_string(&mut text).unwrap();
        }
        text
    }

    /// Closes the channel. The helper must then end without an error and remove the work directory.
    pub fn finish(mut self) {
        self.close();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
        assert_eq!(self.log(), "");
        assert!(!self.work_dir().exists());
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.channel = None;
        let _ = self.process.wait();
    }
}
