//! Owns the bytes of one download on their way into a file: their count, their checksums and the
//! limit of their size. Does not know where they come from.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use super::cache::Cache;
use super::checksum::{self, Checksum};
use super::{Download, DownloadError};

/// Copies a file into the sink, and yields to other tasks between its parts.
pub(super) async fn copy<'a>(mut file: File, sink: Sink<'a>) -> Result<Sink<'a>, DownloadError> {
    let location = sink.location.to_owned();
    let io = move |error| DownloadError::io(&location, error);
    let meta = file.metadata().map_err(&io)?;
    if !meta.is_file() {
        return Err(io(std::io::Error::other("it is not an ordinary file")));
    }
    let mut sink = sink;
    sink.expect(meta.len())?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(&io)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(sink),
            Some(piece) => sink.take(piece)?,
        }
        tokio::task::yield_now().await;
    }
}

/// Receives the bytes of a download: writes, counts and verifies them.
pub(super) struct Sink<'a> {
    location: &'a str,
    checksum: Option<checksum::Verifier<'a>>,
    sha256: checksum::Sha256,
    max_bytes: u64,
    size: u64,
    file: tempfile::NamedTempFile,
    cache: Option<&'a Cache>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        location: &'a str,
        checksum: Option<&'a Checksum>,
        max_bytes: u64,
        cache: Option<&'a Cache>,
    ) -> Result<Self, DownloadError> {
        let file = match cache {
            Some(cache) => cache.new_file(),
            None => tempfile::NamedTempFile::new(),
        };
        Ok(Self {
            location,
            checksum: checksum.map(Checksum::start),
            sha256: checksum::Sha256::default(),
            max_bytes,
            size: 0,
            file: file.map_err(|error| DownloadError::Store { source: error })?,
            cache,
        })
    }

    /// Checks an announced size against the limit.
    pub(super) fn expect(&self, size: u64) -> Result<(), DownloadError> {
        if size > self.max_bytes {
            return Err(self.too_large(size));
        }
        Ok(())
    }

    fn too_large(&self, size: u64) -> DownloadError {
        DownloadError::TooLarge {
            location: self.location.to_owned(),
            size,
            limit: self.max_bytes,
        }
    }

    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), DownloadError> {
        self.size += piece.len() as u64;
        if self.size > self.max_bytes {
            return Err(self.too_large(self.size));
        }
        self.sha256.update(piece);
        if let Some(checksum) = &mut self.checksum {
            checksum.update(piece);
        }
        let written = self.file.write_all(piece);
        written.map_err(|source| DownloadError::Store { source })
    }

    pub(super) fn finish(self) -> Result<Download, DownloadError> {
        if let Some(checksum) = self.checksum {
            checksum
                .finish()
                .map_err(|(expected, found)| DownloadError::Checksum {
                    location: self.location.to_owned(),
                    expected,
                    found,
                })?;
        }
        let store = |source| DownloadError::Store { source };
        let sha256 = self.sha256.finish();
        let mut file = match self.cache {
            Some(cache) => cache.keep(self.file, &sha256),
            None => self.file.into_file(),
        };
        file.rewind().map_err(store)?;
        Ok(Download {
            file,
            size: self.size,
            sha256,
            location: None,
        })
    }
}
