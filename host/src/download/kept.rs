//! What was downloaded before, in its directory. Whatever is wrong there is a miss and never an error.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::checksum::Sha256;
use super::{Download, Source};

#[derive(Clone, Debug)]
pub(super) struct Kept {
    directory: PathBuf,
}

impl Kept {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// A file in which to gather what comes.
    pub(super) fn new_file(&self) -> io::Result<tempfile::NamedTempFile> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.directory.join("by"))?;
        tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory)
    }

    /// Keeps what came under its name. Where that fails, it is used all the same.
    pub(super) fn keep(&self, file: tempfile::NamedTempFile, sha256: &str) -> File {
        match file.persist(self.directory.join(sha256)) {
            Ok(file) => file,
            Err(failed) => {
                tracing::warn!("a download is not kept: {}", failed.error);
                failed.file.into_file()
            }
        }
    }

    /// Remembers what a question was answered with.
    pub(super) fn remember(&self, source: &Source, sha256: &str) {
        let path = self.question(source);
        let answered = tempfile::NamedTempFile::new_in(&self.directory).and_then(|file| {
            std::fs::write(file.path(), sha256)?;
            file.persist(&path).map_err(|failed| failed.error)
        });
        if let Err(error) = answered {
            tracing::debug!("{}: {error}", path.display());
        }
    }

    /// What is kept of that, if it is whole and not too old.
    pub(super) fn find(&self, source: &Source) -> Option<Download> {
        let sha256 = match (&source.checksum, source.max_age) {
            (Some(checksum), None) if checksum.sha256().is_some() => checksum.sha256()?.to_owned(),
            (checksum, max_age) => {
                let path = self.question(source);
                let age = age(&path)?;
                // What has no checksum may have changed since; whoever does not mind says for how long.
                let fresh = match max_age {
                    Some(max_age) => age <= max_age,
                    None => checksum.is_some(),
                };
                fresh.then(|| std::fs::read_to_string(&path).ok())??
            }
        };
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (mut file, size) = whole(&self.directory.join(&sha256), &sha256)
            .ok()
            .flatten()?;
        file.rewind().ok()?;
        Some(Download {
            file,
            size,
            sha256,
            location: None,
        })
    }

    /// Where the answer to a question is: by its checksum, or by its locations where it has none.
    fn question(&self, source: &Source) -> PathBuf {
        let mut name = Sha256::default();
        match &source.checksum {
            Some(checksum) => name.update(checksum.to_string().as_bytes()),
            None => {
                for location in &source.locations {
                    name.update(location.as_bytes());
                    name.update(b"\n");
                }
            }
        }
        self.directory.join("by").join(name.finish())
    }
}

fn age(path: &Path) -> Option<Duration> {
    let written = path.metadata().ok()?.modified().ok()?;
    SystemTime::now().duration_since(written).ok()
}

/// A file and its size, if its bytes are what its name says.
fn whole(path: &Path, sha256: &str) -> io::Result<Option<(File, u64)>> {
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
