//! Owns the division of an output that grows into lines. Does not know what the lines mean.

/// The bytes of an output after its last whole line. A line without an end that is longer than
/// `LONGEST` bytes counts as whole, and what follows is another line.
#[derive(Debug, Default)]
pub struct LineBuffer<const LONGEST: usize> {
    rest: Vec<u8>,
}

/// Whole lines.
#[derive(Debug)]
pub struct Lines(Vec<u8>);

impl<const LONGEST: usize> LineBuffer<LONGEST> {
    /// Takes what was written since the last call. Returns the lines that are whole now.
    pub fn take(&mut self, bytes: &[u8]) -> Lines {
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n');
        let begin = end.map_or(0, |end| end + 1);
        let rest = self.rest.split_off(begin);
        let mut whole = std::mem::replace(&mut self.rest, rest);
        if self.rest.len() > LONGEST {
            whole.append(&mut self.rest);
        }
        Lines(whole)
    }

    /// Ends the output. Returns its last line if that has no end.
    pub fn finish(&mut self) -> Lines {
        Lines(std::mem::take(&mut self.rest))
    }

    /// The number of bytes after the last whole line.
    pub fn kept(&self) -> usize {
        self.rest.len()
    }
}

impl Lines {
    /// The lines, without their ends.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.0.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &Lines) -> Vec<String> {
        let texts = lines.iter().map(String::from_utf8_lossy);
        texts.map(|text| text.into_owned()).collect()
    }

    #[test]
    fn lines_are_whole_whatever_the_parts() {
        let text = "ab\n\nc\r\nd";
        for size in 1..=text.len() {
            let mut buffer = LineBuffer::<8>::default();
            let parts = text.as_bytes().chunks(size);
            let mut found: Vec<String> = parts.flat_map(|part| texts(&buffer.take(part))).collect();
            assert_eq!(found, ["ab", "", "c\r"], "parts of {size} bytes");
            assert_eq!(buffer.kept(), 1);
            found.extend(texts(&buffer.finish()));
            assert_eq!(found, ["ab", "", "c\r", "d"]);
            assert!(texts(&buffer.finish()).is_empty());
        }
    }

    #[test]
    fn line_over_the_limit_is_divided() {
        let mut buffer = LineBuffer::<3>::default();
        assert!(texts(&buffer.take(b"abc")).is_empty());
        assert_eq!(texts(&buffer.take(b"d")), ["abcd"]);
        assert_eq!(texts(&buffer.take(b"e\nf")), ["e"]);
        assert_eq!(texts(&buffer.take(b"\n1\n5678")), ["f", "1", "5678"]);
        assert_eq!(buffer.kept(), 0);
    }
}
