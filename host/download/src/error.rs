//! What can go wrong with a download.

use std::error::Error as _;
use std::io;
use std::time::Duration;

/// Something could not be downloaded, or was not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No location was given.
    #[error("no location is given from which it could be had")]
    Nowhere,
    /// Several locations were given, and none had it.
    #[error("it could be had from none of its locations: {}", join(.failures))]
    All {
        /// Why, for each of them.
        failures: Vec<DownloadError>,
    },
    /// A location is no URL.
    #[error(
        "`{location}` is no location: {why}; it is an http, https or file URL, or a path in the project"
    )]
    Location {
        /// What was given.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// It has no checksum.
    #[error(
        "{what} has no checksum, so whatever comes could not be told from what is wanted: give it one, or allow that with `--set fetch.unverified=true`"
    )]
    Unverified {
        /// Its locations.
        what: String,
    },
    /// The settings forbid it.
    #[error("{location} may not be fetched: {why}")]
    NotPermitted {
        /// From where.
        location: String,
        /// Why not.
        why: String,
    },
    /// The settings forbid to ask anybody (`fetch.offline`).
    #[error(
        "{location} is not kept from an earlier job, and nothing is downloaded (`fetch.offline`)"
    )]
    Offline {
        /// From where it could be had.
        location: String,
    },
    /// What came is something else.
    #[error("{location} is not what it should be: its checksum is {found}, not {expected}")]
    Checksum {
        /// From where it came.
        location: String,
        /// What it should come to.
        expected: String,
        /// What it comes to.
        found: String,
    },
    /// It is too large.
    #[error(
        "{location} has {size} bytes or more, over the limit of {limit} (`fetch.max_mb`, or what the requirement says)"
    )]
    TooLarge {
        /// From where it comes.
        location: String,
        /// How much was announced, or has come.
        size: u64,
        /// How much was to come at most.
        limit: u64,
    },
    /// Nothing came for too long.
    #[error("{location} stalls: nothing came for {} s (`fetch.stall`)", limit.as_secs_f64())]
    Stalled {
        /// From where it should come.
        location: String,
        /// The longest wait.
        limit: Duration,
    },
    /// The server has refused.
    #[error("{location} cannot be had: the server answered {status}")]
    Status {
        /// From where it should come.
        location: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The way there is broken.
    #[error("{location} cannot be had: {message}")]
    Web {
        /// From where it should come.
        location: String,
        /// What went wrong.
        message: String,
    },
    /// A file cannot be read.
    #[error("{location} cannot be read: {source}")]
    Io {
        /// Which.
        location: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was downloaded cannot be written down.
    #[error("a download cannot be stored: {source}")]
    Store {
        /// What the system said.
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
        // What matters is at the end of the causes; the first one only repeats the location.
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = cause.to_string();
            source = cause.source();
        }
        Self::Web { location, message }
    }

    /// The kind of failure, in the words of the contract.
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
