//! Owns the writing of a report to a terminal: control characters, which could move the cursor or
//! reverse the text, are written as text. Reports go into files and pipes unchanged.

use std::io::{self, IsTerminal, Write};

use persea_model::names::printable;

/// The longest line that is buffered, in bytes. A longer one is written in parts.
const LINE: usize = 64 << 10;

/// Wraps the stream of a report: on a terminal, control characters are escaped.
pub fn for_reader(stream: impl Write + IsTerminal + Send + 'static) -> Box<dyn Write + Send> {
    match stream.is_terminal() {
        true => Box::new(EscapingWriter::new(stream)),
        false => Box::new(stream),
    }
}

/// Writes lines with their control characters escaped.
struct EscapingWriter<W: Write> {
    inner: W,
    line: Vec<u8>,
}

impl<W: Write> EscapingWriter<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            line: Vec::new(),
        }
    }

    fn show(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, "\n"),
            None => (&line[..], ""),
        };
        self.inner
            .write_all(printable(&String::from_utf8_lossy(text)).as_bytes())?;
        self.inner.write_all(end.as_bytes())
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            // A line is only cut between characters of valid UTF-8.
            let begins = byte & 0xc0 != 0x80;
            if self.line.len() >= LINE && (begins || self.line.len() >= LINE + 8) {
                self.show()?;
            }
            self.line.push(byte);
            if byte == b'\n' {
                self.show()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for EscapingWriter<W> {
    fn drop(&mut self) {
        // A last line without a newline.
        let _ = self.show().and_then(|()| self.inner.flush());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut shown = EscapingWriter::new(&mut out);
        for piece in pieces {
            shown.write_all(piece).unwrap();
        }
        drop(shown);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_are_escaped_however_the_text_is_cut() {
        assert_eq!(
            shown(&[b"ok 1 - a\x1b[2Jb\r\nnext\n"]),
            "ok 1 - a\\x1b[2Jb\\x0d\nnext\n"
        );
        assert_eq!(
            shown(&[b"\xc2", b"\x9b2J \xe2\x80", b"\xae!"]),
            "\\x9b2J \\u{202e}!"
        );
        assert_eq!(shown(&["ü\n".as_bytes(), b"\xff"]), "ü\n\u{fffd}");
    }

    #[test]
    fn line_without_end_is_written_in_parts() {
        let long = "ü".repeat(LINE);
        assert_eq!(shown(&[long.as_bytes()]), long);
        let bad = vec![0xff; 3 * LINE];
        assert_eq!(shown(&[&bad]).chars().count(), 3 * LINE);
    }
}
