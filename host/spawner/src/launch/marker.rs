//! Owns the search for the lines of a program behind what a login shell prints before it. Does not
//! know what the lines say.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The most that may come before a marked line, in bytes: 1 MiB.
const MAX_NOISE: usize = 1 << 20;

/// How much of the noise an error shows, in characters: the last 300.
const SHOWN: usize = 300;

/// The lines of a stream that contain a marker.
pub(crate) struct MarkedLines<R> {
    reader: R,
    marker: String,
    /// What was read and is not returned yet.
    buffer: Vec<u8>,
    /// What came before the last line.
    noise: Vec<u8>,
}

/// A marked line did not come.
#[derive(Debug)]
pub(crate) struct NoLine {
    why: String,
    /// The end of what came instead.
    noise: String,
}

impl fmt::Display for NoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        match self.noise.is_empty() {
            true => f.write_str("; it has written nothing"),
            false => write!(f, "; it has written {:?}", self.noise),
        }
    }
}

impl<R: AsyncRead + Unpin> MarkedLines<R> {
    /// `marker` must be text that comes only in these lines.
    pub(crate) fn new(reader: R, marker: &str) -> Self {
        Self {
            reader,
            marker: marker.to_owned(),
            buffer: Vec::new(),
            noise: Vec::new(),
        }
    }

    /// Waits for the next line with the marker, and returns what follows the marker. A dropped
    /// future loses nothing.
    ///
    /// # Errors
    /// The stream ends, or too much comes before the line.
    pub(crate) async fn next(&mut self) -> Result<String, NoLine> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(line);
            }
            if self.buffer.len() > MAX_NOISE {
                return Err(self.missing("it writes too much"));
            }
            let mut piece = [0; 4096];
            match self.reader.read(&mut piece).await {
                Ok(0) => return Err(self.missing("it has ended")),
                Ok(n) => self.buffer.extend(piece.get(..n).unwrap_or_default()),
                Err(e) => return Err(self.missing(&format!("it cannot be read: {e}"))),
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let marker = self.marker.as_bytes();
        let mut windows = self.buffer.windows(marker.len());
        let at = windows.position(|window| window == marker)?;
        let begin = at + marker.len();
        let rest = self.buffer.get(begin..)?;
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(rest.get(..length)?)
            .trim()
            .to_owned();
        self.noise = self.buffer.get(..at)?.to_vec();
        self.buffer.drain(..=begin + length);
        Some(line)
    }

    fn missing(&self, why: &str) -> NoLine {
        let all = [&self.noise[..], &self.buffer[..]].concat();
        let text = String::from_utf8_lossy(&all);
        let text = text.trim();
        let skipped = text.chars().count().saturating_sub(SHOWN);
        NoLine {
            why: why.to_owned(),
            noise: text.chars().skip(skipped).collect(),
        }
    }

    /// The error for a line that did not come in time.
    pub(crate) fn silent(&self) -> NoLine {
        self.missing("it took too long")
    }

    /// The error for a line that is not the expected one.
    pub(crate) fn unexpected(&self, line: &str) -> NoLine {
        self.missing(&format!("it answered {line:?}"))
    }

    /// Returns the stream, which has to be read up to the end of the last line.
    ///
    /// # Errors
    /// More was read.
    pub(crate) fn into_reader(self) -> Result<R, NoLine> {
        match self.buffer.is_empty() {
            true => Ok(self.reader),
            false => Err(self.missing("it writes unasked")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn noise_before_a_marked_line_is_skipped() {
        let stream = &b"Welcome!\nyou have mailmark-1 ready /tmp\nmore\nmark-1\n"[..];
        let mut lines = MarkedLines::new(stream, "mark-1");
        assert_eq!(lines.next().await.unwrap(), "ready /tmp");
        assert_eq!(lines.next().await.unwrap(), "");
        assert!(lines.into_reader().unwrap().is_empty());
    }

    #[tokio::test]
    async fn missing_line_is_an_error_that_shows_the_noise() {
        let mut lines = MarkedLines::new(&b"no shell for you"[..], "mark-1");
        let error = lines.next().await.unwrap_err();
        assert!(error.to_string().contains("no shell for you"), "{error}");
    }

    #[tokio::test]
    async fn endless_noise_is_an_error() {
        let mut lines = MarkedLines::new(tokio::io::repeat(b'x'), "mark-1");
        let error = lines.next().await.unwrap_err();
        assert!(error.to_string().contains("too much"), "{error}");
    }
}
