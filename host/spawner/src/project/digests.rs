//! Owns the digests of files that are known from earlier jobs, so that a file that has not changed
//! is not read again. Does not know what the digests are for.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use persea_helper::protocol::archive::Digest;
use persea_system::bounded_read;
use persea_system::private::{READABLE, create_directory};
use sha2::{Digest as _, Sha256};

/// The first bytes of a file with digests.
const MAGIC: &[u8] = b"persea digests 1\n";

/// The length of a file's key, and of that with its digest, in bytes.
const KEY: usize = 7 * 8;
const RECORD: usize = KEY + 32;

/// The largest file with digests that is read: 128 MiB, for more than a million files.
const MAX_FILE: u64 = 128 << 20;

/// The age from which a change of a file is known for certain to have another time than the next
/// one: 2 s. File systems may have times of that coarseness.
const SETTLED: Duration = Duration::from_secs(2);

/// What changes whenever the content of a file does: its file system, inode number, size and times
/// (mtime and ctime). Programs can set the first of the times, but not the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey([u8; KEY]);

impl FileKey {
    pub(super) fn of(meta: &Metadata) -> Self {
        let signed = [
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ];
        let words = [meta.dev(), meta.ino(), meta.size()];
        let words = words.into_iter().chain(signed.map(i64::cast_unsigned));
        let mut key = [0; KEY];
        for (place, word) in key.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Self(key)
    }
}

/// The known digests of a project's files.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: HashMap<FileKey, Digest>,
}

impl Digests {
    /// The path of the file with the digests of a project.
    pub(super) fn path(cache: &Path, project: &Path) -> PathBuf {
        let name = Sha256::digest(project.as_os_str().as_encoded_bytes());
        let name: String = name
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        cache.join("digests").join(name)
    }

    /// Reads a file. One that cannot be read knows nothing.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = bounded_read::bytes(path, MAX_FILE).unwrap_or_default();
        let records = bytes.strip_prefix(MAGIC).unwrap_or_default();
        let known = records.chunks_exact(RECORD).filter_map(|record| {
            let (key, digest) = record.split_first_chunk()?;
            Some((FileKey(*key), *digest.first_chunk()?))
        });
        Self {
            known: known.collect(),
        }
    }

    pub(super) fn get(&self, key: &FileKey) -> Option<Digest> {
        self.known.get(key).copied()
    }

    /// Writes the digests of files to `path`, as far as the files have not changed just now:
    /// another change might leave no trace.
    pub(super) fn write<'a>(
        path: &Path,
        now: SystemTime,
        files: impl Iterator<Item = (&'a FileKey, (i64, i64), &'a Digest)>,
    ) -> io::Result<()> {
        let settled = now
            .checked_sub(SETTLED)
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let settled = settled.unwrap_or_default();
        let settled = (
            settled.as_secs().cast_signed(),
            i64::from(settled.subsec_nanos()),
        );
        let mut bytes = MAGIC.to_vec();
        for (key, changed, digest) in files {
            if changed < settled {
                bytes.extend_from_slice(&key.0);
                bytes.extend_from_slice(digest);
            }
        }
        let directory = path.parent().unwrap_or(path);
        create_directory(directory, READABLE)?;
        let mut new = tempfile::NamedTempFile::new_in(directory)?;
        new.write_all(&bytes)?;
        new.persist(path)?;
        Ok(())
    }
}

/// Computes the digest of a file.
pub(super) fn digest_of(mut file: &File) -> io::Result<Digest> {
    let mut digest = Sha256::new();
    let mut buffer = [0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(count) => digest.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
