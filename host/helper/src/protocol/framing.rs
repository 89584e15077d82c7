//! Owns the framing: from messages to frames, and from received bytes back to messages.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Hello, MAX_FRAME, MAX_TEXT, ProtocolError, Reply, Request, VERSION, Welcome};

const MAGIC: [u8; 8] = *b"PERSEAHP";
const LENGTH_BYTES: usize = 4;

/// The longest beginning of an unknown peer's text that an error shows, in bytes.
const SHOWN_OF_UNKNOWN_PEER: usize = 200;

/// A message after the greeting: [`Request`] or [`Reply`].
pub trait Message: Serialize + DeserializeOwned {}
impl Message for Request {}
impl Message for Reply {}

/// A greeting: [`Hello`] or [`Welcome`].
pub trait Greeting: Serialize + DeserializeOwned {}
impl Greeting for Hello {}
impl Greeting for Welcome {}

/// Appends the frame of a message to `out`.
///
/// # Errors
/// [`ProtocolError::TooLarge`] for a body of more than [`MAX_FRAME`]; `out` is then unchanged.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    frame(&[], message, out)
}

/// Appends the frame of a greeting to `out`.
///
/// # Errors
/// As for [`encode`].
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
            .map_err(|e| ProtocolError::Malformed(e.to_string()))?;
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

/// Decodes a message from the body of a frame.
///
/// # Errors
/// [`ProtocolError::Malformed`], also for bytes after the message.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, ProtocolError> {
    unpack(body)
}

/// Decodes a greeting from the body of the first frame.
///
/// # Errors
/// [`ProtocolError::UnknownPeer`] without the magic bytes, [`ProtocolError::Version`] for another
/// version, [`ProtocolError::Malformed`] for a body that is no greeting.
pub fn decode_greeting<G: Greeting>(body: &[u8]) -> Result<G, ProtocolError> {
    let rest = body
        .strip_prefix(&MAGIC)
        .ok_or_else(|| unknown_peer(body))?;
    let (version, rest) = rest.split_first_chunk().ok_or_else(|| unknown_peer(body))?;
    match u32::from_le_bytes(*version) {
        VERSION => unpack(rest),
        theirs => Err(ProtocolError::Version { theirs }),
    }
}

fn unpack<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProtocolError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(ProtocolError::Malformed(format!(
            "{} bytes follow the message",
            rest.len()
        ))),
        Err(e) => Err(ProtocolError::Malformed(e.to_string())),
    }
}

fn unknown_peer(sent: &[u8]) -> ProtocolError {
    let shown = sent.get(..SHOWN_OF_UNKNOWN_PEER).unwrap_or(sent);
    ProtocolError::UnknownPeer(String::from_utf8_lossy(shown).into_owned())
}

/// Shortens the text of a reply to [`MAX_TEXT`], so that the reply is never too large to send.
pub fn truncate_text(mut text: String) -> String {
    const MARK: &str = "…";
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - MARK.len()));
        text.push_str(MARK);
    }
    text
}

/// Collects received bytes and splits them into frames.
///
/// The first bytes are compared with the magic bytes before the length is believed: the text of an
/// unknown peer would otherwise be taken for an absurd length.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// How much of the buffer has been returned as frames.
    used: usize,
    /// Whether the first frame has been returned.
    greeted: bool,
    limit: usize,
}

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::with_limit(MAX_FRAME)
    }
}

impl FrameReader {
    /// Creates a reader that accepts bodies of up to `limit` bytes.
    pub fn with_limit(limit: usize) -> FrameReader {
        FrameReader {
            buffer: Vec::new(),
            used: 0,
            greeted: false,
            limit,
        }
    }

    /// Adds received bytes.
    pub fn push(&mut self, received: &[u8]) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(received);
    }

    /// Returns the body of the next frame, or none until it is complete.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownPeer`] or [`ProtocolError::TooLarge`]. The channel is then unusable.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        if !self.greeted {
            let body = rest.get(LENGTH_BYTES..).unwrap_or_default();
            let n = body.len().min(MAGIC.len());
            if body.get(..n) != MAGIC.get(..n) {
                return Err(unknown_peer(rest));
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

    /// Whether a frame is incomplete. At the end of a channel that is an error.
    pub fn is_partial(&self) -> bool {
        self.used < self.buffer.len()
    }
}
