//! Owns the protocol between host and helper: its messages, their framing and its limits. Does not
//! know about descriptors and does no I/O, so that the helper's poll loop and the host's
//! asynchronous channel share it.
//!
//! A frame is a length (u32, little endian) and a body of that many bytes. The first frame in each
//! direction is a greeting. Its body is eight magic bytes, the protocol's version (u32, little
//! endian) and a postcard [`Hello`] or [`Welcome`]. With the magic bytes and the version, each end
//! can tell three failures apart: a peer that is not Persea (such as the welcome text of a login
//! shell over ssh), a peer of another version, and a malformed message. Every further body is a
//! postcard [`Request`] (from the host) or [`Reply`] (from the helper).

pub mod archive;
mod bytes;
mod framing;
mod greeting;
mod message;
mod process;
pub mod project;

use std::time::Duration;

pub use self::bytes::Bytes;
pub use self::framing::{
    FrameReader, Greeting, Message, decode, decode_greeting, encode, encode_greeting, truncate_text,
};
pub use self::greeting::{Hello, Isolation, SharedFiles, Welcome};
pub use self::message::{Id, Reply, Request};
pub use self::process::{
    Ending, Exit, Input, Output, ProcessLimits, QueuePosition, Start, StartFailure,
    StartFailureKind, Stream, TerminalSize, Usage,
};

/// The protocol's version. It changes with every change to a message, because host and helper
/// always come from the same build.
pub const VERSION: u32 = 8;

/// The largest standard input that a start carries with it ([`Input::Bytes`]), in bytes: 16 MiB.
pub const MAX_INPUT: usize = 16 << 20;

/// The largest accepted body of a frame, in bytes: 17 MiB, which is an input and 1 MiB for the rest
/// of the start. A larger one is an error at either end.
pub const MAX_FRAME: usize = MAX_INPUT + (1 << 20);

/// The largest number of bytes that one [`Request::Read`] returns: 1 MiB.
pub const MAX_READ: u32 = 1 << 20;

/// The longest text in a reply, in bytes: 64 KiB. [`truncate_text`] shortens a text to it.
pub const MAX_TEXT: usize = 64 << 10;

/// The largest body of a frame that the helper sends, in bytes: the bytes of a read, or a text.
pub const MAX_REPLY: usize = MAX_READ as usize + MAX_TEXT;

/// The largest names of files that one [`Reply::Files`] has, in bytes: 256 KiB.
pub const MAX_LISTED: usize = 256 << 10;

/// How long a queued process may run before the helper returns the processes behind it to the host:
/// 5 ms. The host can then start them in another environment.
pub const RETURN_AFTER: Duration = Duration::from_millis(5);

/// Why received bytes are not a message, or a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The body of a frame is larger than its reader or writer accepts.
    #[error("a message of {length} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The body's length, in bytes.
        length: usize,
        /// The largest accepted length, in bytes.
        limit: usize,
    },
    /// The peer does not speak this protocol. The text is the beginning of what the peer sent.
    #[error("the other end of the channel does not speak the helper's protocol; it sent {0:?}")]
    UnknownPeer(String),
    /// The peer speaks another version of the protocol.
    #[error(
        "the other end speaks version {theirs} of the protocol, and this end version {VERSION}"
    )]
    Version {
        /// The peer's version.
        theirs: u32,
    },
    /// The body of a frame is not a message.
    #[error("a message can't be decoded: {0}")]
    Malformed(String),
}
