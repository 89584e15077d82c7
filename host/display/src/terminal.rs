//! A report on its way to a terminal: what would move the cursor, or turn the writing around, is shown instead of done. Into files and pipes
//! reports go as they are.

use std::io::{self, IsTerminal, Write};

use persea_model::names::printable;

/// What is kept of a line until its end has come: 64 KiB. A longer one is shown in parts.
const LINE: usize = 64 << 10;

/// A stream as a report is written to it.
pub fn for_reader(stream: impl Write + IsTerminal + Send + 'static) -> Box<dyn Write + Send> {
    match stream.is_terminal() {
        true => Box::new(Shown::new(stream)),
        false => Box::new(stream),
    }
}

/// Shows what is written to it, a line at a time.
struct Shown<W: Write> {
    inner: W,
    line: Vec<u8>,
}

impl<W: Write> Shown<W> {
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

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            // A character stays whole, if it is one.
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

impl<W: Write> Drop for Shown<W> {
    fn drop(&mut self) {
        // What has no end of its line.
        let _ = self.show().and_then(|()| self.inner.flush());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut shown = Shown::new(&mut out);
        for piece in pieces {
            shown.write_all(piece).unwrap();
        }
        drop(shown);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_moves_the_cursor_is_shown_however_it_is_cut() {
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
    fn a_line_without_end_is_not_kept() {
        let long = "ü".repeat(LINE);
        assert_eq!(shown(&[long.as_bytes()]), long);
        let bad = vec![0xff; 3 * LINE];
        assert_eq!(shown(&[&bad]).chars().count(), 3 * LINE);
    }
}
