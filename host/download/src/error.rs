//! Owns the errors of downloads. Does not know how they are shown.

use std::error::Error as _;
use std::io;
use std::time::Duration;

/// A download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No location was given.
    #[error("no location is given to download from")]
    Nowhere,
    /// Several locations were given, and the download failed from all of them.
    #[error("all locations failed: {}", join(.failures))]
    All {
        /// The error of each location.
        failures: Vec<DownloadError>,
    },
    /// A location is invalid.
    #[error(
        "invalid location `{location}`: {why}; use an http, https or file URL, or a path in the \
         project"
    )]
    Location {
        /// The given location.
        location: String,
        /// What is wrong with the location.
        why: String,
    },
    /// A download without a checksum was requested.
    #[error(
        "{what} has no checksum: add one, or allow downloads without with \
         `--set fetch.unverified=true`"
    )]
    Unverified {
        /// The locations.
        what: String,
    },
    /// The settings or the grants of the plugin forbid a location.
    #[error("downloading {location} is not allowed: {why}")]
    NotPermitted {
        /// The location.
        location: String,
        /// The reason, with what to change.
        why: String,
    },
    /// The settings forbid all downloads (`fetch.offline`).
    #[error("{location} is not in the cache of downloads, and `fetch.offline` is set")]
    Offline {
        /// The location.
        location: String,
    },
    /// The downloaded bytes have another checksum.
    #[error("{location} has the wrong checksum: {found}, not {expected}")]
    Checksum {
        /// The location.
        location: String,
        /// The expected checksum.
        expected: String,
        /// The checksum of the downloaded bytes.
        found: String,
    },
    /// The download is too large.
    #[error(
        "{location} has {size} bytes or more, over the limit of {limit} (`fetch.max_mb`, or the \
         limit of the requirement)"
    )]
    TooLarge {
        /// The location.
        location: String,
        /// The announced size, or the size received so far, in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server sent no data for too long.
    #[error("{location} stalls: no data for {} s (`fetch.stall`)", limit.as_secs_f64())]
    Stalled {
        /// The location.
        location: String,
        /// The longest time without data.
        limit: Duration,
    },
    /// The server answered with an error.
    #[error("cannot download {location}: the server answered {status}")]
    Status {
        /// The location.
        location: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection failed, or a redirection was refused.
    #[error("cannot download {location}: {message}")]
    Web {
        /// The location.
        location: String,
        /// The cause.
        message: String,
    },
    /// A file cannot be read.
    #[error("cannot read {location}: {source}")]
    Io {
        /// The location.
        location: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The downloaded bytes cannot be written to a file.
    #[error("cannot store a download: {source}")]
    Store {
        /// The error of the system.
        source: io::Error,
    },
}

impl DownloadError {
    pub(super) fn io(location: &str, source: io::Error) -> Self {
        Self::Io {
            location: location.to_owned(),
            source,
        }
    }

    pub(super) fn of_web(location: &str, stall: Option<Duration>, error: &reqwest::Error) -> Self {
        let location = location.to_owned();
        if error.is_timeout()
            && let Some(limit) = stall
        {
            return Self::Stalled { location, limit };
        }
        // The last cause has the reason; the first one only repeats the location.
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = cause.to_string();
            source = cause.source();
        }
        Self::Web { location, message }
    }

    /// The error code of the plugin interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Location { .. } => "invalid",
            Self::Unverified { .. } | Self::NotPermitted { .. } => "not-permitted",
            Self::Offline { .. } => "offline",
            Self::Checksum { .. } => "checksum",
            Self::TooLarge { .. } => "too-large",
            Self::Stalled { .. } => "timeout",
            Self::Nowhere | Self::Status { .. } => "not-found",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "not-found",
            Self::Web { .. } | Self::Io { .. } | Self::Store { .. } => "io",
            Self::All { failures } => failures.last().map_or("not-found", Self::code),
        }
    }
}

fn join(failures: &[DownloadError]) -> String {
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
