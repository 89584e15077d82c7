//! The power `fetch`: downloads, made by the host. It decides which hosts may be asked, holds the bytes to their checksum, and
//! keeps them for later jobs.

use crate::attributes::{Attributes, Value};
use crate::backend;
use crate::error::Error;

/// What to get, and where it may be had.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Source {
    /// `https://`, `http://` or `file://`, or a path in the project's directory. The first that can be had counts.
    pub locations: Vec<String>,
    /// What the bytes must come to: `sha256:` and hexadecimal digits; `sha512` and `sha1` are known too. Without one the host
    /// refuses, unless it's configured to trust downloads.
    pub checksum: Option<String>,
    /// Open data: `max-bytes` (integer) and `max-age` (integer, seconds).
    pub more: Attributes,
}

impl Source {
    /// Something that may be had at these places.
    pub fn new<I: IntoIterator<Item: Into<String>>>(locations: I) -> Self {
        Self {
            locations: locations.into_iter().map(Into::into).collect(),
            checksum: None,
            more: Attributes::new(),
        }
    }

    /// Sets what the bytes must come to, as `sha256:2cf2…`.
    pub fn checksum(mut self, checksum: impl Into<String>) -> Self {
        self.checksum = Some(checksum.into());
        self
    }

    /// Sets a name of the open data.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// What was got. The host holds it while the plugin's instance lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Download {
    /// By which name [`read`](Self::read) knows it.
    pub id: String,
    /// In bytes.
    pub size: u64,
    /// The location that had it; none when the host had kept it.
    pub location: Option<String>,
    /// Open data. The host gives `sha256` (text, hexadecimal digits).
    pub more: Attributes,
}

impl Download {
    /// Reads up to `length` bytes (at most 1 MiB) from `offset`; fewer only at its end.
    ///
    /// # Errors
    /// `io`.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        backend::read_download(&self.id, offset, length)
    }
}

/// Gets something.
///
/// # Errors
/// `not-found`, `not-permitted` (a host that is not on the list, no checksum), `checksum`, `too-large`, `timeout` (nothing came
/// for too long), `offline` (it is not kept), `io`.
pub fn fetch(source: &Source) -> Result<Download, Error> {
    backend::fetch(source)
}
