//! Owns the form in which the files of a directory come to the host: records, with the content of
//! each file behind its record. Checks everything that the host acts on: names, lengths, order and
//! digests. Does no I/O.
//!
//! A record is a length (u32, little endian) and a postcard [`Record`]. A directory comes before
//! what is in it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Bytes, ProtocolError};

/// The longest path of a file in a directory that is sent or fetched, in bytes.
pub const MAX_PATH: usize = 4095;

/// The longest name of a file, in bytes.
pub const MAX_NAME: usize = 255;

/// The longest text of a [`LeftOut::Unreadable`], in bytes.
pub const MAX_REASON: usize = 1000;

/// The longest record, in bytes: two paths and what is beside them.
const MAX_RECORD: usize = 2 * MAX_PATH + 64;

/// The bits of a mode that are fetched: permissions, and the sticky bit. Never a set-id bit.
const MODE: u32 = 0o1777;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A part of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A directory.
    Directory {
        /// The path in the archive's directory.
        path: Bytes,
        /// The permissions.
        mode: u32,
    },
    /// A file. Its content follows, and then `FileEnd`.
    File {
        /// The path in the archive's directory.
        path: Bytes,
        /// The permissions.
        mode: u32,
        /// The length of the content, in bytes.
        size: u64,
    },
    /// The end of a file.
    FileEnd {
        /// The digest of the content.
        digest: Digest,
        /// Whether the file had its size until it was read. Otherwise the rest are zero bytes.
        is_whole: bool,
    },
    /// A symbolic link.
    Link {
        /// The path in the archive's directory.
        path: Bytes,
        /// The target, which may be anything.
        target: Bytes,
    },
    /// Something that is not in the archive.
    LeftOut {
        /// The path in the archive's directory.
        path: Bytes,
        /// The reason.
        why: LeftOut,
    },
    /// The end of the archive.
    End {
        /// How many more entries are not in the archive, because there are too many.
        left_out: u64,
    },
}

/// Why something is not in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeftOut {
    /// With this file of this size, in bytes, the archive would be larger than its limit.
    Size(u64),
    /// It is neither a file, a directory nor a link.
    Kind,
    /// It cannot be read, for this reason of at most [`MAX_REASON`] bytes.
    Unreadable(String),
}

/// Appends a record.
///
/// # Errors
/// The record is longer than any that [`ArchiveReader`] takes; `out` is then unchanged.
pub fn encode_record(record: &Record, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    let body = postcard::to_stdvec(record).map_err(|e| ProtocolError::Malformed(e.to_string()))?;
    let too_large = ProtocolError::TooLarge {
        length: body.len(),
        limit: MAX_RECORD,
    };
    if body.len() > MAX_RECORD {
        return Err(too_large);
    }
    let length = u32::try_from(body.len()).map_err(|_| too_large)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Checks that a path leads to something in its directory: relative, with plain names only.
///
/// # Errors
/// What is wrong with the path.
pub fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.len() > MAX_PATH {
        return Err("is too long");
    }
    if path.starts_with(b"/") {
        return Err("is absolute");
    }
    if path.contains(&0) {
        return Err("has a zero byte");
    }
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => return Err("has an empty name"),
            b".." => return Err("leads out of its directory"),
            long if long.len() > MAX_NAME => return Err("has a name that is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// A part of an archive, checked.
#[derive(Debug, PartialEq, Eq)]
pub enum ArchiveItem<'a> {
    /// A record. Its paths are checked, and its modes have no set-id bits.
    Record(Record),
    /// A piece of the content of the file whose record came last.
    Content(&'a [u8]),
}

/// Takes an archive apart. The pieces in which its bytes arrive do not matter.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    buffer: Vec<u8>,
    used: usize,
    /// The file whose content or end is next: how much is left, and the digest so far.
    file: Option<(u64, Sha256)>,
    has_ended: bool,
}

impl ArchiveReader {
    /// Adds received bytes.
    pub fn push(&mut self, received: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(received);
    }

    /// Whether the last record was returned.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the next part, or none until more is received.
    ///
    /// # Errors
    /// The bytes are no archive that could be stored. The reader is then unusable.
    pub fn next_item(&mut self) -> Result<Option<ArchiveItem<'_>>, ProtocolError> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        if self.has_ended {
            return match rest.is_empty() {
                true => Ok(None),
                false => Err(malformed("more follows its end")),
            };
        }
        if let Some((left, digest)) = &mut self.file
            && *left > 0
        {
            let length = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
            if length == 0 {
                return Ok(None);
            }
            digest.update(rest.get(..length).unwrap_or_default());
            *left -= length as u64;
            let begin = self.used;
            self.used += length;
            let content = self.buffer.get(begin..self.used).unwrap_or_default();
            return Ok(Some(ArchiveItem::Content(content)));
        }
        let Some((length, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_RECORD {
            let limit = MAX_RECORD;
            return Err(ProtocolError::TooLarge { length, limit });
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let record = match postcard::take_from_bytes(body) {
            Ok((record, [])) => record,
            Ok(_) => return Err(malformed("bytes follow a record")),
            Err(e) => return Err(ProtocolError::Malformed(e.to_string())),
        };
        let record = self.check(record)?;
        self.used += 4 + length;
        Ok(Some(ArchiveItem::Record(record)))
    }

    fn check(&mut self, mut record: Record) -> Result<Record, ProtocolError> {
        match &mut record {
            Record::Directory { path, mode } | Record::File { path, mode, .. } => {
                named(path)?;
                *mode &= MODE;
            }
            Record::LeftOut { path, why } => {
                named(path)?;
                if let LeftOut::Unreadable(reason) = why
                    && reason.len() > MAX_REASON
                {
                    return Err(malformed("a reason is too long"));
                }
            }
            Record::Link { path, target } => {
                named(path)?;
                if target.0.is_empty() || target.0.len() > MAX_PATH || target.0.contains(&0) {
                    return Err(malformed("a link has no possible target"));
                }
            }
            Record::FileEnd { .. } | Record::End { .. } => {}
        }
        match (&record, self.file.take()) {
            (Record::FileEnd { digest, .. }, Some((_, read))) => {
                if *digest != Digest::from(read.finalize()) {
                    return Err(malformed("the content of a file is not that of its digest"));
                }
            }
            (Record::FileEnd { .. }, None) => {
                return Err(malformed("a file ends that never began"));
            }
            (_, Some(_)) => return Err(malformed("a file has no end")),
            (Record::File { size, .. }, None) => self.file = Some((*size, Sha256::new())),
            (Record::End { .. }, None) => self.has_ended = true,
            (Record::Directory { .. } | Record::Link { .. } | Record::LeftOut { .. }, None) => {}
        }
        Ok(record)
    }
}

fn named(path: &Bytes) -> Result<(), ProtocolError> {
    check_path(&path.0).map_err(|why| malformed(&format!("the name {path:?} {why}")))
}

fn malformed(why: &str) -> ProtocolError {
    ProtocolError::Malformed(format!("the fetched files are refused: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes(text.as_bytes().to_vec())
    }

    fn file(path: &str, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let record = Record::File {
            path: bytes(path),
            mode: 0o644,
            size: content.len() as u64,
        };
        encode_record(&record, &mut out).unwrap();
        out.extend_from_slice(content);
        let end = Record::FileEnd {
            digest: Sha256::digest(content).into(),
            is_whole: true,
        };
        encode_record(&end, &mut out).unwrap();
        out
    }

    /// The contents of the files, by path, or the error.
    fn read(archive: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, ProtocolError> {
        let mut reader = ArchiveReader::default();
        let mut files = Vec::new();
        for piece in archive.chunks(piece) {
            reader.push(piece);
            while let Some(item) = reader.next_item()? {
                match item {
                    ArchiveItem::Record(Record::File { path, .. }) => {
                        files.push((format!("{path:?}"), Vec::new()));
                    }
                    ArchiveItem::Record(_) => {}
                    ArchiveItem::Content(content) => {
                        files.last_mut().unwrap().1.extend_from_slice(content);
                    }
                }
            }
        }
        Ok(files)
    }

    #[test]
    fn archive_has_the_same_files_in_any_pieces() {
        let mut archive = file("empty", b"");
        archive.extend(file("a/b", &[7; 3000]));
        encode_record(&Record::End { left_out: 0 }, &mut archive).unwrap();
        for piece in [1, 7, 4096] {
            let files = read(&archive, piece).unwrap();
            assert_eq!(files[0], ("\"empty\"".to_owned(), Vec::new()));
            assert_eq!(files[1].1, [7; 3000]);
        }
    }

    #[test]
    fn path_out_of_the_directory_is_refused() {
        let long = "x".repeat(MAX_NAME + 1);
        let deep = "x/".repeat(MAX_PATH);
        for path in [
            "../x", "a/../x", "/x", "", "a//b", "./a", "a/", "a\0b", &long, &deep,
        ] {
            assert!(check_path(path.as_bytes()).is_err(), "{path}");
            let mut archive = Vec::new();
            let link = Record::Link {
                path: bytes(path),
                target: bytes("t"),
            };
            if encode_record(&link, &mut archive).is_ok() {
                assert!(read(&archive, 99).is_err(), "{path}");
            }
        }
        check_path(b"..a/b..").unwrap();
    }

    #[test]
    fn set_id_bits_are_removed() {
        let mut archive = Vec::new();
        let directory = Record::Directory {
            path: bytes("d"),
            mode: 0o106_777,
        };
        encode_record(&directory, &mut archive).unwrap();
        let mut reader = ArchiveReader::default();
        reader.push(&archive);
        let expected = Record::Directory {
            path: bytes("d"),
            mode: 0o777,
        };
        let item = reader.next_item().unwrap();
        assert_eq!(item, Some(ArchiveItem::Record(expected)));
    }

    #[test]
    fn changed_content_and_wrong_order_are_refused() {
        let mut changed = file("a", b"content");
        let at = changed.windows(7).position(|it| it == b"content").unwrap();
        changed[at] = b'C';
        assert!(read(&changed, 99).is_err());
        let end = Record::End { left_out: 0 };
        let mut out = Vec::new();
        encode_record(&end, &mut out).unwrap();
        let twice = [&out[..], &out].concat();
        assert!(read(&twice, 99).is_err());
        let mut lone = Vec::new();
        let record = Record::FileEnd {
            digest: [0; 32],
            is_whole: true,
        };
        encode_record(&record, &mut lone).unwrap();
        assert!(read(&lone, 99).is_err());
        assert!(read(&u32::MAX.to_le_bytes(), 99).is_err());
    }
}
