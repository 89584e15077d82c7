//! Owns the contents of files that are kept from one job to the next. Does not know which project a
//! content belongs to.
//!
//! A job adds one pack: a file with contents one behind the other, and an index with the digest,
//! the position and the length of each. A pack without its index does not count, so no pack is read
//! that is half written. Contents are only ever copied out of a pack, and each is compared with its
//! digest then: a pack that somebody has changed, or that a crash has cut off, costs a transfer and
//! nothing else. For the same reason any pack can be removed at any time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use persea_helper::protocol::archive::Digest;

const PACK: &str = "pack";
const INDEX: &str = "index";

/// The length of a digest, a position and a length in an index, in bytes.
const INDEX_ENTRY: usize = 32 + 8 + 8;

/// The most packs that are kept. More would make each job slower.
const MAX_PACKS: usize = 64;

/// The age from which a pack that was not completed counts as abandoned: a day.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The directory in which contents are kept unless the host says otherwise; none if no variable
/// names one.
pub(super) fn default_cache() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME");
    let cache = cache.or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(cache?.join("persea"))
}

/// The directory of the packs.
fn packs_of(cache: &Path) -> PathBuf {
    cache.join("projects")
}

/// Where a content is.
#[derive(Clone, Copy)]
struct Place {
    pack: usize,
    offset: u64,
    length: u64,
}

/// The kept contents that a project needs.
#[derive(Default)]
pub(super) struct Blobs {
    directory: Option<PathBuf>,
    packs: Vec<KeptPack>,
    places: HashMap<Digest, Place>,
    /// Contents that turned out not to be those of their digests.
    damaged: Mutex<HashSet<Digest>>,
}

/// A pack with contents that a project needs.
struct KeptPack {
    path: PathBuf,
    file: File,
}

impl Blobs {
    /// Finds the cached contents with these digests. An unreadable cache has none.
    pub(super) fn find(cache: Option<&Path>, wanted: &HashSet<Digest>) -> Self {
        let Some(cache) = cache else {
            return Self::default();
        };
        let directory = packs_of(cache);
        let mut found = Self::default();
        for (path, _) in packs(&directory) {
            // An index that cannot be read is none.
            let _ = found.add(&path, wanted);
        }
        found.directory = Some(directory);
        found
    }

    fn add(&mut self, pack: &Path, wanted: &HashSet<Digest>) -> io::Result<()> {
        let index = std::fs::read(pack.with_extension(INDEX))?;
        let file = File::open(pack)?;
        let size = file.metadata()?.len();
        let number = self.packs.len();
        let mut is_used = false;
        for entry in index.chunks_exact(INDEX_ENTRY) {
            let Some((digest, rest)) = entry.split_first_chunk::<32>() else {
                continue;
            };
            let (Some(offset), Some(length)) = (rest.first_chunk(), rest.last_chunk()) else {
                continue;
            };
            let (offset, length) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*length));
            let is_whole = offset.checked_add(length).is_some_and(|end| end <= size);
            if is_whole
                && wanted.contains(digest)
                && let Entry::Vacant(vacant) = self.places.entry(*digest)
            {
                vacant.insert(Place {
                    pack: number,
                    offset,
                    length,
                });
                is_used = true;
            }
        }
        if is_used {
            let path = pack.to_owned();
            self.packs.push(KeptPack { path, file });
        }
        Ok(())
    }

    /// A reader of the content with this digest and size, which is still to be compared.
    pub(super) fn open(&self, digest: &Digest, size: u64) -> Option<KeptBlob<'_>> {
        let place = self
            .places
            .get(digest)
            .filter(|place| place.length == size)?;
        Some(KeptBlob {
            pack: &self.packs.get(place.pack)?.file,
            offset: place.offset,
            left: place.length,
        })
    }

    /// Marks a content as damaged.
    pub(super) fn mark_damaged(&self, digest: Digest) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.insert(digest);
    }

    /// Removes damaged contents from the indices of their packs, so that no later job finds them.
    pub(super) fn forget_damaged(&self) {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let places = damaged.iter().filter_map(|digest| self.places.get(digest));
        let packs: HashSet<usize> = places.map(|place| place.pack).collect();
        for pack in packs.into_iter().filter_map(|pack| self.packs.get(pack)) {
            // A pack whose index cannot be written costs the next job a transfer.
            let _ = pack.forget(&damaged);
        }
    }

    /// Marks the packs as used, and removes those that were used longest ago, as far as there are
    /// more than the limits.
    pub(super) fn touch_and_evict(&self, limit: u64) {
        let now = std::fs::FileTimes::new().set_modified(SystemTime::now());
        for pack in &self.packs {
            let _ = pack.file.set_times(now);
        }
        let Some(directory) = &self.directory else {
            return;
        };
        let mut size: u64 = 0;
        for (number, (path, length)) in packs(directory).into_iter().enumerate() {
            size = size.saturating_add(length);
            if number >= MAX_PACKS || size > limit {
                // The index first: without it the pack does not count.
                let _ = std::fs::remove_file(path.with_extension(INDEX));
                let _ = std::fs::remove_file(path);
            }
        }
        remove_abandoned(directory);
    }
}

impl KeptPack {
    fn forget(&self, damaged: &HashSet<Digest>) -> io::Result<()> {
        let path = self.path.with_extension(INDEX);
        let entries = std::fs::read(&path)?;
        let entries = entries.chunks_exact(INDEX_ENTRY);
        let is_good = |entry: &&[u8]| {
            let digest = entry.first_chunk();
            digest.is_some_and(|digest: &Digest| !damaged.contains(digest))
        };
        let good: Vec<u8> = entries.filter(is_good).flatten().copied().collect();
        let new = self
            .path
            .with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&new, good)?;
        std::fs::rename(new, path)
    }
}

/// The packs in a directory with their sizes, those first that were used last.
fn packs(directory: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == PACK));
    let mut all: Vec<_> = paths
        .filter_map(|path| {
            let meta = path.metadata().ok()?;
            Some((meta.modified().ok()?, path, meta.len()))
        })
        .collect();
    all.sort_unstable_by(|(a, ..), (b, ..)| b.cmp(a));
    all.into_iter()
        .map(|(_, path, length)| (path, length))
        .collect()
}

/// Removes what receivers that were killed have left.
fn remove_abandoned(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let is_new = path.extension().is_some_and(|it| it == PACK)
            && path.with_extension(INDEX).exists()
            || path.extension().is_some_and(|it| it == INDEX) && path.with_extension(PACK).exists();
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok());
        if !is_new && age.is_some_and(|age| age > ABANDONED) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A kept content.
pub(super) struct KeptBlob<'a> {
    pack: &'a File,
    offset: u64,
    left: u64,
}

impl Read for KeptBlob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |it| it.min(buffer.len()));
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.pack.read_at(room, self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A pack that is being written. It is made with the first content. A failure does not end the
/// transfer: the contents are then not kept.
pub(super) struct NewPack {
    cache: Option<PathBuf>,
    state: PackState,
}

enum PackState {
    Empty,
    Open(OpenPack),
    Failed(io::Error),
}

struct OpenPack {
    directory: PathBuf,
    name: String,
    file: BufWriter<File>,
    written: u64,
    index: Vec<u8>,
}

impl NewPack {
    pub(super) fn begin(cache: Option<PathBuf>) -> Self {
        let state = PackState::Empty;
        Self { cache, state }
    }

    /// Adds a piece of a content.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if matches!(self.state, PackState::Empty) {
            self.state = match OpenPack::make(self.cache.as_deref()) {
                Ok(open) => PackState::Open(open),
                Err(error) => PackState::Failed(error),
            };
        }
        if let PackState::Open(open) = &mut self.state {
            if let Err(error) = open.file.write_all(bytes) {
                open.remove();
                self.state = PackState::Failed(error);
            } else {
                open.written += bytes.len() as u64;
            }
        }
    }

    /// Ends a content of this digest and size.
    pub(super) fn end_blob(&mut self, digest: Digest, size: u64) {
        if let PackState::Open(open) = &mut self.state {
            open.index.extend_from_slice(&digest);
            let offset = open.written.saturating_sub(size);
            open.index.extend_from_slice(&offset.to_le_bytes());
            open.index.extend_from_slice(&size.to_le_bytes());
        }
    }

    /// Makes the pack count.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.state {
            PackState::Empty => Ok(()),
            PackState::Failed(error) => Err(error),
            PackState::Open(mut open) => open.finish().inspect_err(|_| open.remove()),
        }
    }
}

impl OpenPack {
    fn make(cache: Option<&Path>) -> io::Result<Self> {
        let none = "neither XDG_CACHE_HOME nor HOME names a directory";
        let cache = cache.ok_or_else(|| io::Error::other(none))?;
        let directory = packs_of(cache);
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
        };
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(named)?;
        // It may have been made by somebody with another umask.
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(named)?;
        // The kernel makes a new one for each reading.
        let name = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let name = name.trim().to_owned();
        let mut options = File::options();
        let options = options.write(true).create_new(true).mode(0o600);
        let file = options.open(directory.join(&name)).map_err(named)?;
        Ok(Self {
            directory,
            name,
            file: BufWriter::with_capacity(1 << 18, file),
            written: 0,
            index: Vec::new(),
        })
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        std::fs::rename(self.directory.join(&self.name), self.path(PACK))?;
        let new = self.directory.join(&self.name);
        let mut options = File::options();
        let mut index = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        index.write_all(&self.index)?;
        std::fs::rename(new, self.path(INDEX))
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(self.directory.join(&self.name));
        let _ = std::fs::remove_file(self.path(PACK));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn digest(content: &[u8]) -> Digest {
        Sha256::digest(content).into()
    }

    fn keep(cache: &Path, contents: &[&[u8]]) {
        let mut pack = NewPack::begin(Some(cache.to_owned()));
        for content in contents {
            pack.write(content);
            pack.end_blob(digest(content), content.len() as u64);
        }
        pack.finish().unwrap();
    }

    fn kept(cache: &Path, content: &[u8]) -> Option<Vec<u8>> {
        let wanted = HashSet::from([digest(content)]);
        let blobs = Blobs::find(Some(cache), &wanted);
        let mut blob = blobs.open(&digest(content), content.len() as u64)?;
        let mut read = Vec::new();
        blob.read_to_end(&mut read).unwrap();
        Some(read)
    }

    #[test]
    fn contents_of_all_packs_are_found() {
        let cache = tempfile::tempdir().unwrap();
        keep(cache.path(), &[b"one", b"", b"three"]);
        keep(cache.path(), &[b"other"]);
        for content in [&b"one"[..], b"", b"three", b"other"] {
            assert_eq!(kept(cache.path(), content).as_deref(), Some(content));
        }
        assert_eq!(kept(cache.path(), b"none"), None);
    }

    #[test]
    fn pack_without_a_whole_index_or_content_has_nothing() {
        let cache = tempfile::tempdir().unwrap();
        keep(cache.path(), &[b"content"]);
        let (pack, _) = packs(&packs_of(cache.path())).remove(0);
        std::fs::write(&pack, "cut").unwrap();
        assert_eq!(kept(cache.path(), b"content"), None);
        std::fs::write(&pack, "content").unwrap();
        assert!(kept(cache.path(), b"content").is_some());
        std::fs::write(pack.with_extension(INDEX), [0; INDEX_ENTRY - 1]).unwrap();
        assert_eq!(kept(cache.path(), b"content"), None);
        std::fs::remove_file(pack.with_extension(INDEX)).unwrap();
        assert_eq!(kept(cache.path(), b"content"), None);
    }

    #[test]
    fn damaged_content_is_not_found_again() {
        let cache = tempfile::tempdir().unwrap();
        keep(cache.path(), &[b"damaged", b"good"]);
        let wanted = HashSet::from([digest(b"damaged"), digest(b"good")]);
        let blobs = Blobs::find(Some(cache.path()), &wanted);
        blobs.mark_damaged(digest(b"damaged"));
        blobs.forget_damaged();
        assert_eq!(kept(cache.path(), b"damaged"), None);
        assert_eq!(kept(cache.path(), b"good").as_deref(), Some(&b"good"[..]));
    }

    #[test]
    fn content_of_the_pack_that_was_used_last_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            keep(cache.path(), &[b"in each", b"more"]);
        }
        let wanted = HashSet::from([digest(b"in each")]);
        let blobs = Blobs::find(Some(cache.path()), &wanted);
        assert_eq!(blobs.packs.len(), 1, "one pack has it");
        let newest = packs(&packs_of(cache.path())).remove(0).0;
        assert_eq!(blobs.packs.first().map(|pack| &pack.path), Some(&newest));
        assert_eq!(
            kept(cache.path(), b"in each").as_deref(),
            Some(&b"in each"[..])
        );
    }

    #[test]
    fn packs_that_were_used_longest_ago_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        keep(cache.path(), &[b"old content"]);
        let (old, _) = packs(&packs_of(cache.path())).remove(0);
        let past = SystemTime::now() - Duration::from_secs(100);
        File::options()
            .write(true)
            .open(old)
            .unwrap()
            .set_modified(past)
            .unwrap();
        keep(cache.path(), &[b"new content"]);
        let none = HashSet::new();
        Blobs::find(Some(cache.path()), &none).touch_and_evict(15);
        assert_eq!(kept(cache.path(), b"old content"), None);
        assert!(kept(cache.path(), b"new content").is_some());
        // A pack that is used becomes a new one.
        keep(cache.path(), &[b"newest"]);
        let used = HashSet::from([digest(b"new content")]);
        Blobs::find(Some(cache.path()), &used).touch_and_evict(11);
        assert!(kept(cache.path(), b"new content").is_some());
        assert_eq!(kept(cache.path(), b"newest"), None);
    }

    #[test]
    fn cache_that_cannot_be_written_is_an_error_at_the_end() {
        let mut pack = NewPack::begin(Some(PathBuf::from("/proc/none")));
        pack.write(b"content");
        pack.end_blob(digest(b"content"), 7);
        let error = pack.finish().unwrap_err();
        assert!(error.to_string().contains("/proc/none/projects"), "{error}");
    }
}
