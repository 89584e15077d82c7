//! Owns the cache of downloads: a directory of files. A damaged or missing file is a miss and never
//! an error. Does not download.
//!
//! A file is named by the SHA-256 of its bytes. For each location and expected checksum, a file in
//! `by/` has the SHA-256 of what the location had. All files are written under another name and
//! renamed, so that several hosts can share the cache.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::checksum::Sha256;
use super::{Download, Source};
use persea_system::bounded_read::{self, MAX_SMALL_FILE};

#[derive(Clone, Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Creates a temporary file for a download.
    pub(super) fn new_file(&self) -> io::Result<tempfile::NamedTempFile> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.directory.join("by"))?;
        tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory)
    }

    /// Stores a download in the cache. If that fails, warns, and the download is used uncached.
    pub(super) fn keep(&self, file: tempfile::NamedTempFile, sha256: &str) -> File {
        match file.persist(self.directory.join(sha256)) {
            Ok(file) => file,
            Err(failed) => {
                tracing::warn!("cannot store a download in the cache: {}", failed.error);
                failed.file.into_file()
            }
        }
    }

    /// Records what a location had. `key` identifies the location; `host` is the server that sent
    /// the bytes, after all redirections.
    pub(super) fn record(&self, key: &[u8], source: &Source, sha256: &str, host: Option<&str>) {
        let path = self.record_path(key, source);
        let text = format!("{sha256}\n{}", host.unwrap_or_default());
        let written = tempfile::NamedTempFile::new_in(&self.directory).and_then(|file| {
            std::fs::write(file.path(), text)?;
            file.persist(&path).map_err(|failed| failed.error)
        });
        if let Err(error) = written {
            tracing::debug!("{}: {error}", path.display());
        }
    }

    /// Returns the cached download of the location with this key, if it is intact, not too old, and
    /// came from an allowed host.
    pub(super) fn find(
        &self,
        key: &[u8],
        source: &Source,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<Download> {
        let path = self.record_path(key, source);
        let age = age(&path)?;
        // Without a checksum, the location may have changed since; `max_age` accepts that.
        let fresh = match source.max_age {
            Some(max_age) => age <= max_age,
            None => source.checksum.is_some(),
        };
        let text = fresh.then(|| bounded_read::text(&path, MAX_SMALL_FILE).ok())??;
        let (sha256, host) = text.split_once('\n')?;
        if !host.is_empty() && !is_allowed(host) {
            return None;
        }
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let wanted = source.checksum.as_ref().and_then(|it| it.sha256());
        if wanted.is_some_and(|wanted| wanted != sha256) {
            return None;
        }
        let (mut file, size) = verified(&self.directory.join(sha256), sha256)
            .ok()
            .flatten()?;
        file.rewind().ok()?;
        Some(Download {
            file,
            size,
            sha256: sha256.to_owned(),
            location: None,
        })
    }

    /// The path of the record for a location and an expected checksum.
    fn record_path(&self, key: &[u8], source: &Source) -> PathBuf {
        let mut name = Sha256::default();
        if let Some(checksum) = &source.checksum {
            name.update(checksum.to_string().as_bytes());
        }
        name.update(b"\n");
        name.update(key);
        self.directory.join("by").join(name.finish())
    }
}

fn age(path: &Path) -> Option<Duration> {
    let written = path.metadata().ok()?.modified().ok()?;
    SystemTime::now().duration_since(written).ok()
}

/// Opens a file of the cache, and returns it with its size if its bytes have this SHA-256.
fn verified(path: &Path, sha256: &str) -> io::Result<Option<(File, u64)>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut found = Sha256::default();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(piece) => found.update(piece),
        }
        size += read as u64;
    }
    Ok((found.finish() == sha256).then_some((file, size)))
}
