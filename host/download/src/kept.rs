//! What was downloaded before, in its directory. Whatever is wrong there is a miss and never an error.

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

    /// Remembers what a place had: `key` is the place's name, `host` the server that sent the bytes after all redirections.
    pub(super) fn remember(&self, key: &[u8], source: &Source, sha256: &str, host: Option<&str>) {
        let path = self.question(key, source);
        let text = format!("{sha256}\n{}", host.unwrap_or_default());
        let answered = tempfile::NamedTempFile::new_in(&self.directory).and_then(|file| {
            std::fs::write(file.path(), text)?;
            file.persist(&path).map_err(|failed| failed.error)
        });
        if let Err(error) = answered {
            tracing::debug!("{}: {error}", path.display());
        }
    }

    /// What is kept of that from the place with this key, if it is whole, not too old, and came from a host that may be asked.
    pub(super) fn find(
        &self,
        key: &[u8],
        source: &Source,
        may_come_from: impl Fn(&str) -> bool,
    ) -> Option<Download> {
        let path = self.question(key, source);
        let age = age(&path)?;
        // What has no checksum may have changed since; whoever does not mind says for how long.
        let fresh = match source.max_age {
            Some(max_age) => age <= max_age,
            None => source.checksum.is_some(),
        };
        let text = fresh.then(|| bounded_read::text(&path, MAX_SMALL_FILE).ok())??;
        let (sha256, host) = text.split_once('\n')?;
        if !host.is_empty() && !may_come_from(host) {
            return None;
        }
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let wanted = source.checksum.as_ref().and_then(|it| it.sha256());
        if wanted.is_some_and(|wanted| wanted != sha256) {
            return None;
        }
        let (mut file, size) = whole(&self.directory.join(sha256), sha256).ok().flatten()?;
        file.rewind().ok()?;
        Some(Download {
            file,
            size,
            sha256: sha256.to_owned(),
            location: None,
        })
    }

    /// Where it is written what a place had: by the place, and the checksum that was asked for.
    fn question(&self, key: &[u8], source: &Source) -> PathBuf {
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
