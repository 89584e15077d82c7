//! The power `fetch`: downloads by the host. The host decides which servers may be asked, checks
//! the bytes against their checksum and caches them for later jobs. Offline, it answers from its
//! cache only.
//!
//! ```no_run
//! use persea_plugin_sdk::fetch::{self, Source};
//!
//! let source = Source::new(["https://example.org/image.qcow2"])
//!     .checksum("sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
//!     .with("max-bytes", 1_i64 << 30);
//! let image = fetch::fetch(&source)?;
//! let head = image.read(0, 512)?;
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```

use crate::attributes::{Attributes, Value};
use crate::backend;
use crate::error::Error;

/// What to download, and from where.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Source {
    /// The locations, tried in order until one has it: `https://`, `http://` or `file://` URLs, or
    /// paths in the project's directory.
    pub locations: Vec<String>,
    /// The expected checksum: `sha256:`, `sha512:` or `sha1:` and hexadecimal digits. The host
    /// refuses a source without a checksum, unless its configuration allows unverified downloads.
    pub checksum: Option<String>,
    /// Further data. The host understands `max-bytes` (integer), the largest accepted size, and
    /// `max-age` (integer, nanoseconds): a cached copy that is older is downloaded again. Without
    /// `max-age` a copy with a checksum never expires, and one without is never reused.
    pub more: Attributes,
}

impl Source {
    /// Creates a source with these locations, without a checksum.
    pub fn new<I: IntoIterator<Item: Into<String>>>(locations: I) -> Self {
        Self {
            locations: locations.into_iter().map(Into::into).collect(),
            checksum: None,
            more: Attributes::new(),
        }
    }

    /// Sets the expected checksum: `sha256:2cf2…`.
    pub fn checksum(mut self, checksum: impl Into<String>) -> Self {
        self.checksum = Some(checksum.into());
        self
    }

    /// Sets an entry of [`more`](Self::more).
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// What is known about a completed download.
#[derive(Clone, Debug, PartialEq)]
pub struct DownloadInfo {
    /// The size in bytes.
    pub size: u64,
    /// The location that served the bytes; none when they came from the cache.
    pub location: Option<String>,
    /// Further data. The host sets `sha256` (text, hexadecimal digits).
    pub more: Attributes,
}

/// A completed download, as an open file. Dropping the handle closes it.
#[derive(Debug)]
pub struct Download(pub(crate) backend::Download);

impl Download {
    /// Describes the download.
    pub fn info(&self) -> DownloadInfo {
        backend::download_info(&self.0)
    }

    /// Reads up to `length` bytes (at most 1 MiB) from `offset`. The result is shorter only at the
    /// end of the download.
    ///
    /// # Errors
    /// `io`.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        backend::download_read(&self.0, offset, length)
    }
}

/// Downloads from the first location that has the source.
///
/// # Errors
/// * `not-found`: no location has it
/// * `not-permitted`: the plugin's grant excludes the server, or the checksum is missing
/// * `checksum`: the bytes do not match the checksum
/// * `too-large`: there are more than `max-bytes`, or more than the host accepts
/// * `timeout`: no byte arrived for too long
/// * `offline`: the host is offline, and its cache has no copy
/// * `limit`: more than 256 downloads at once
/// * `invalid`: a location, a checksum or an entry of `more` cannot be understood
/// * `io`: everything else
pub fn fetch(source: &Source) -> Result<Download, Error> {
    backend::fetch(source).map(Download)
}
