//! What host and helper say to each other: the messages, their framing and its limits. It owns no descriptor and does no
//! I/O (bytes in, bytes out), so the helper's poll loop and the asynchronous host share it. It must not know who starts
//! processes, or how.
//!
//! A frame is a length (u32, little endian) and that many bytes. The first frame in each direction is a greeting: eight
//! magic bytes, the protocol's version (u32, little endian), then a postcard body. So either side can tell a stranger
//! (a shell's welcome text over ssh) from another version, and both from a broken message. Every further frame is a
//! postcard [`Request`] or [`Reply`].

use std::time::Duration;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the protocol. It changes with every change to a message: host and helper are always of one build.
pub const VERSION: u32 = 4;

/// The largest body of a frame, in bytes. A larger one is an error on either side.
pub const MAX_FRAME: usize = 16 << 20;

/// The most bytes that one [`Request::Read`] gets, whatever it asks for.
pub const MAX_READ: u32 = 1 << 20;

/// The longest text of a reply, in bytes; [`cut`] makes one of any length fit.
pub const MAX_TEXT: usize = 64 << 10;

/// The largest body of a frame that the helper sends, in bytes: what a read gets, or a text.
pub const MAX_REPLY: usize = MAX_READ as usize + MAX_TEXT;

/// How long a process may run before those that wait behind it for their turn are given back: 5 ms.
pub const GIVE_BACK_AFTER: Duration = Duration::from_millis(5);

const MAGIC: [u8; 8] = *b"PERSEAHP";
const LENGTH_BYTES: usize = 4;

/// The host's number for a request, or for a child: it chooses them, and never uses one twice on a connection. A child's
/// number is that of the [`Request::Start`] that started it.
pub type Id = u64;

/// Why bytes are no message, or a message can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame's body is larger than the reader or writer of the channel takes.
    #[error("a message of {length} bytes is larger than the {limit} that the channel takes")]
    TooLarge {
        /// The body's length, in bytes.
        length: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// The other end is not what it should be; the text is the beginning of what it said.
    #[error("what answers on the channel doesn't speak the helper's protocol; it said {0:?}")]
    Stranger(String),
    /// The other end is of another version.
    #[error("the other end speaks version {theirs} of the protocol and not {VERSION}")]
    Version {
        /// The other end's version.
        theirs: u32,
    },
    /// The body of a frame is no message.
    #[error("a message can't be decoded: {0}")]
    Garbled(String),
}

/// Bytes, encoded as such and not one by one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(V)
    }
}

/// The host's greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// An absolute path: the directory that is empty at the start of each task. Made where it is missing; refused when
    /// something is in it, so that a wrong path empties nobody's files. Removed at the end.
    pub work_dir: Option<Bytes>,
    /// The variables that processes begin with, by name; none for those that the helper itself was started with. Others who see the
    /// helper don't see these.
    pub variables: Option<Vec<(Bytes, Bytes)>>,
    /// What the helper and its processes give up.
    pub isolation: Isolation,
}

/// What the helper gives up before it starts a process, and its processes with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// The session keyring of whoever started the host: they have a new one.
    pub session_keyring: bool,
    /// Abstract Unix sockets of others, where the kernel's Landlock knows them (6.12 and later).
    pub abstract_sockets: bool,
}

/// The helper's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The helper's process number, where it runs.
    pub pid: u32,
}

/// What a process reads as its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nothing: end of file at once.
    #[default]
    Empty,
    /// What [`Request::Write`] brings.
    Pipe,
}

/// Where what a process writes goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Nowhere.
    #[default]
    Discard,
    /// To the end of this file, which is made where it is missing; its directory is there already.
    File(Bytes),
    /// To [`Request::Read`].
    Pipe,
}

/// The pipes of a child that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// Its report, descriptor 3.
    Report,
}

/// A process to start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// A path, or a name to be looked for in the PATH that the process gets.
    pub program: String,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets one, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Begin with no environment variables; PATH is kept where `env` doesn't change it.
    pub clear_env: bool,
    /// The working directory; without one, that in which the helper was started.
    pub cwd: Option<String>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Another pipe to the host, on descriptor 3; the process finds the number in `PERSEA_REPORT_FD`.
    pub report: bool,
    /// Don't answer [`Reply::Started`]; a failure is answered all the same.
    pub quiet: bool,
    /// Start it when nothing else runs, in the order in which they were asked for. Such a process is a task of its own: what is
    /// left of it is ended at its exit. While another runs for longer than [`GIVE_BACK_AFTER`], it is given back with
    /// [`Stage::NotNow`]. It has no pipes, and shares the helper with nothing that has no turn.
    pub in_turn: Option<Line>,
}

/// Where a process stands among those that wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// At the head of a new line: the host knows what has become of all before.
    Head,
    /// Behind the one that was asked for before. If that was given back, so is this one, so that they keep their order.
    Behind,
}

/// From host to helper. Each with an `id` is answered once, by a reply of that id, in any order; [`Request::Start`] is
/// answered by `StartFailed`, or by `Started` (unless quiet) and later `Exited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start a process.
    Start {
        /// Also the child's number from now on.
        id: Id,
        /// What to start.
        start: Start,
    },
    /// Read from a child's pipe; answered by `Data` when something or its end is there. One at a time for each stream.
    Read {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// Which of its pipes.
        stream: Stream,
        /// At most so many bytes (and at most [`MAX_READ`]).
        max: u32,
    },
    /// Write to a child's standard input; answered by `Done` when all is written. One at a time for each child.
    Write {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// What to write.
        bytes: Bytes,
    },
    /// End a child's standard input. `Done`, also when it has ended already.
    CloseStdin {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
    },
    /// Send a signal to a child. `Done`, or `Failed` with ESRCH when it has ended.
    Signal {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// The signal's number.
        signal: i32,
    },
    /// Send a signal to every process below the helper, whatever its group or session. `Done`.
    SignalAll {
        /// The request.
        id: Id,
        /// Only if this child has its turn; if it still waits for it, it is given back.
        of: Option<Id>,
        /// The signal's number.
        signal: i32,
    },
    /// Stop every process below the helper that isn't stopped yet. `Done`.
    Pause {
        /// The request.
        id: Id,
    },
    /// Let those go on that `Pause` stopped. `Done`.
    Resume {
        /// The request.
        id: Id,
    },
    /// End every process below the helper, close all pipes, forget all children and empty the work directory. `Ended`.
    EndTask {
        /// The request.
        id: Id,
        /// Only if this child has its turn; if it still waits for it, it is given back.
        of: Option<Id>,
    },
    /// Nobody is interested in this child any more: end it with its process group, and close its pipes. Not answered;
    /// `Exited` comes as ever.
    Forget {
        /// The child.
        child: Id,
    },
}

/// What could not be had for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The program: it is missing or can't be run.
    Program,
    /// The working directory.
    WorkingDirectory,
    /// A file for its output.
    OutputFile,
    /// The system's means: descriptors, processes, memory.
    Resources,
    /// The request makes no sense, such as a zero byte in an argument.
    Invalid,
    /// Nothing is wrong: its turn has not come, or it was taken back before.
    NotNow,
}

/// Why a process could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// What could not be had.
    pub stage: Stage,
    /// The system's error number.
    pub errno: i32,
    /// For people: names the program, directory or file.
    pub message: String,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code, or none when a signal ended it.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// From start to end.
    pub duration_ns: u64,
    /// Nothing is left below the helper, nor in the work directory: [`Request::EndTask`] would find nothing to do.
    pub clean: bool,
    /// How many processes it has left, which are ended now. Only of one that had its turn; of another that is not known
    /// before [`Request::EndTask`].
    pub left: u32,
}

/// From helper to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The child runs.
    Started {
        /// The child.
        id: Id,
        /// Its process number.
        pid: u32,
    },
    /// The child could not be started.
    StartFailed {
        /// The child.
        id: Id,
        /// Why.
        failure: StartFailure,
    },
    /// The child has ended, even if others hold its pipes open.
    Exited {
        /// The child.
        id: Id,
        /// How.
        exit: Exit,
    },
    /// What was read. Empty at the pipe's end.
    Data {
        /// The request.
        id: Id,
        /// The bytes.
        bytes: Bytes,
    },
    /// It is done.
    Done {
        /// The request.
        id: Id,
    },
    /// It is not done.
    Failed {
        /// The request.
        id: Id,
        /// The system's error number.
        errno: i32,
        /// For people.
        message: String,
    },
    /// The task has ended.
    Ended {
        /// The request.
        id: Id,
        /// How many processes were left, and are ended now.
        left: u32,
    },
}

/// A [`Request`] or a [`Reply`].
pub trait Message: Serialize + DeserializeOwned {}
impl Message for Request {}
impl Message for Reply {}

/// A greeting's body: [`Hello`] or [`Welcome`].
pub trait Greeting: Serialize + DeserializeOwned {}
impl Greeting for Hello {}
impl Greeting for Welcome {}

/// Appends the frame of a message to `out`. On an error `out` is as before.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    frame(&[], message, out)
}

/// Appends the frame of a greeting to `out`. On an error `out` is as before.
pub fn encode_greeting<G: Greeting>(greeting: &G, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&VERSION.to_le_bytes());
    frame(&head, greeting, out)
}

fn frame<T: Serialize>(head: &[u8], body: &T, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.extend_from_slice(head);
    let fill = |out: &mut Vec<u8>| {
        let all = postcard::to_extend(body, std::mem::take(out))
            .map_err(|e| ProtocolError::Garbled(e.to_string()))?;
        *out = all;
        let length = out.len() - start - LENGTH_BYTES;
        if length > MAX_FRAME {
            let limit = MAX_FRAME;
            return Err(ProtocolError::TooLarge { length, limit });
        }
        let length = u32::try_from(length).map_err(|_| ProtocolError::TooLarge {
            length,
            limit: MAX_FRAME,
        })?;
        if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    };
    let result = fill(out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Reads a message from a frame's body. Bytes after it are an error.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, ProtocolError> {
    unpack(body)
}

/// Reads a greeting from the body of the first frame.
pub fn decode_greeting<G: Greeting>(body: &[u8]) -> Result<G, ProtocolError> {
    let rest = body.strip_prefix(&MAGIC).ok_or_else(|| stranger(body))?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(|| stranger(body))?;
    match u32::from_le_bytes(*version) {
        VERSION => unpack(rest),
        theirs => Err(ProtocolError::Version { theirs }),
    }
}

fn unpack<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(ProtocolError::Garbled(format!(
            "{} bytes too many",
            rest.len()
        ))),
        Err(e) => Err(ProtocolError::Garbled(e.to_string())),
    }
}

fn stranger(said: &[u8]) -> ProtocolError {
    let said = said.get(..said.len().min(200)).unwrap_or(said);
    ProtocolError::Stranger(String::from_utf8_lossy(said).into_owned())
}

/// Shortens a reply's text to [`MAX_TEXT`], so that it is never too large to be sent.
pub fn cut(mut text: String) -> String {
    const MARK: &str = "…";
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - MARK.len()));
        text.push_str(MARK);
    }
    text
}

/// Cuts what comes in into frames.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    used: usize,
    greeted: bool,
    limit: usize,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames::up_to(MAX_FRAME)
    }
}

impl Frames {
    /// Takes frames with bodies of up to `limit` bytes; a larger one is an error.
    pub fn up_to(limit: usize) -> Frames {
        Frames {
            buffer: Vec::new(),
            used: 0,
            greeted: false,
            limit,
        }
    }

    /// Adds what was received.
    pub fn push(&mut self, received: &[u8]) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(received);
    }

    /// The body of the next frame, if all of it is there. After an error the channel can't be used any more.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        // A stranger's text would be taken for an absurd length, so look at the first bytes before believing them.
        if !self.greeted {
            let said = rest.get(LENGTH_BYTES..).unwrap_or_default();
            let n = said.len().min(MAGIC.len());
            if said.get(..n) != MAGIC.get(..n) {
                return Err(stranger(rest));
            }
        }
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            let limit = self.limit;
            return Err(ProtocolError::TooLarge { length, limit });
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.greeted = true;
        self.used += LENGTH_BYTES + length;
        Ok(rest.get(..length))
    }

    /// Whether a frame has begun and is not whole: what a channel must not end with.
    pub fn is_partial(&self) -> bool {
        self.used < self.buffer.len()
    }
}
