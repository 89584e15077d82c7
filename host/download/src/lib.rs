//! Owns downloads for requirements: the allowed locations, verification by checksum, and a cache
//! for later jobs. Does not know about plugins or jobs.
//!
//! A cached file is used only for the location that it came from: a plugin without permission for a
//! location cannot read, by its checksum, what others have downloaded from there.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod cache;
mod checksum;
mod error;
mod sink;

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cap_std::fs::{Dir, OpenOptionsExt as _};
use reqwest::Url;
use rustix::fs::OFlags;

pub use checksum::Checksum;
pub use error::DownloadError;

use cache::Cache;
use persea_config::Config;
use persea_config::settings;
use sink::{Sink, copy};

/// The timeout for connecting to a server: 30 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit of redirections for one download.
const MAX_REDIRECTS: usize = 10;

/// A file to download.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// URLs, or paths in the project's directory. They are tried in this order.
    pub locations: Vec<String>,
    /// The expected checksum.
    pub checksum: Option<Checksum>,
    /// The largest accepted size in bytes; none for the limit of the settings.
    pub max_bytes: Option<u64>,
    /// The largest accepted age of a cached file. Without an age, a cached file is used if the
    /// source has a checksum.
    pub max_age: Option<Duration>,
}

/// A downloaded file.
#[derive(Debug)]
pub struct Download {
    /// The file, open for reading at its beginning.
    pub file: File,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the bytes, in hexadecimal digits.
    pub sha256: String,
    /// The location that the file was downloaded from; none if it comes from the cache.
    pub location: Option<String>,
}

/// A list of allowed hosts, and where the user can extend it.
#[derive(Clone, Debug)]
struct Hosts {
    names: Vec<String>,
    from: &'static str,
}

/// Downloads files, within the settings and the grants of a plugin.
#[derive(Debug)]
pub struct Downloads {
    /// A host is allowed if all of these lists contain it.
    hosts: Vec<Hosts>,
    files: bool,
    /// Whether files are allowed for an isolating environment too.
    files_for_isolated: bool,
    offline: bool,
    unverified: bool,
    max_bytes: u64,
    stall: Option<Duration>,
    cache: Option<Cache>,
    /// The directory of locations that are not URLs.
    project: PathBuf,
    /// Whether files of the project are allowed.
    project_files: bool,
    client: OnceLock<reqwest::Client>,
}

impl Downloads {
    /// Applies the settings `fetch.*`. The cache of downloads is below `cache`, the directory of
    /// all caches; none for no cache. `project` is the directory of locations that are not URLs.
    pub fn new(config: &Config, cache: Option<&Path>, project: &Path) -> Self {
        Self {
            hosts: vec![Hosts {
                names: config.get(settings::FETCH_HOSTS),
                from: "the setting `fetch.hosts`",
            }],
            // The host may be able to read files that an isolating environment hides.
            files: config
                .get(settings::FETCH_FILES)
                .unwrap_or(!config.get(settings::RUN_SPAWNER).is_isolating()),
            files_for_isolated: config.get(settings::FETCH_FILES).unwrap_or_default(),
            offline: config.get(settings::FETCH_OFFLINE),
            unverified: config.get(settings::FETCH_UNVERIFIED),
            max_bytes: config.get(settings::FETCH_MAX_MB).saturating_mul(1 << 20),
            stall: config.get(settings::FETCH_STALL),
            cache: cache.map(|cache| Cache::new(cache.join("downloads"))),
            project: project.to_path_buf(),
            project_files: true,
            client: OnceLock::new(),
        }
    }

    /// Restricts the downloads to these hosts, within the existing restrictions. The name `file`
    /// allows files of the machine, and `.` files of the project.
    pub fn only_from(&self, names: &[String]) -> Self {
        let is_named = |wanted: &str| names.iter().any(|name| name == wanted);
        let mut hosts = self.hosts.clone();
        hosts.push(Hosts {
            names: names.to_vec(),
            from: "the plugin's grant `fetch`",
        });
        Self {
            hosts,
            files: self.files && is_named("file"),
            project_files: self.project_files && is_named("."),
            ..self.copy()
        }
    }

    /// Restricts the downloads to those for an isolating environment, which gets files that only
    /// the host can read if the setting `fetch.files` says so.
    pub fn for_isolated(self: &Arc<Self>) -> Arc<Self> {
        match self.files && !self.files_for_isolated {
            true => Arc::new(Self {
                files: false,
                ..self.copy()
            }),
            false => Arc::clone(self),
        }
    }

    /// A copy with a client of its own.
    fn copy(&self) -> Self {
        Self {
            hosts: self.hosts.clone(),
            files: self.files,
            files_for_isolated: self.files_for_isolated,
            project: self.project.clone(),
            project_files: self.project_files,
            offline: self.offline,
            unverified: self.unverified,
            max_bytes: self.max_bytes,
            stall: self.stall,
            cache: self.cache.clone(),
            client: OnceLock::new(),
        }
    }

    /// Returns a file from the cache, or downloads it from the first location that has it. A file
    /// in the cache is used only if its location is allowed.
    ///
    /// # Errors
    /// The error of the location, or the errors of all locations.
    pub async fn fetch(&self, source: &Source) -> Result<Download, DownloadError> {
        let names = || source.locations.join(", ");
        if source.checksum.is_none() && !self.unverified {
            return Err(DownloadError::Unverified { what: names() });
        }
        let mut failures = Vec::new();
        let mut origins = Vec::new();
        for location in &source.locations {
            match self.origin(location) {
                Ok(origin) => origins.push((location, origin)),
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(cached) = self.find(source, &origins).await {
            return Ok(cached);
        }
        for (location, origin) in origins {
            match self.fetch_from(location, origin, source).await {
                Ok(download) => return Ok(download),
                Err(failure) => failures.push(failure),
            }
        }
        Err(match failures.len() {
            0 => DownloadError::Nowhere,
            1 => failures.remove(0),
            _ => DownloadError::All { failures },
        })
    }

    /// Parses a location, and checks that it is allowed.
    fn origin(&self, location: &str) -> Result<Origin, DownloadError> {
        let origin = Origin::parse(location, &self.project)?;
        let refused = match &origin {
            Origin::Web(url) => self.check_host(url),
            Origin::File(_) if self.files => Ok(()),
            Origin::File(_) => Err(format!(
                "{FILES}, or add `file` to the plugin's grant `fetch`"
            )),
            Origin::Project { .. } if self.project_files => Ok(()),
            Origin::Project { .. } => {
                Err("add `.`, the files of the project, to the plugin's grant `fetch`".to_owned())
            }
        };
        match refused {
            Ok(()) => Ok(origin),
            Err(why) => Err(DownloadError::NotPermitted {
                location: location.to_owned(),
                why,
            }),
        }
    }

    /// Returns the cached file of one of these origins. Runs on a thread for blocking work, because
    /// it reads the whole file to verify it.
    async fn find(&self, source: &Source, origins: &[(&String, Origin)]) -> Option<Download> {
        let cache = self.cache.clone()?;
        let source = source.clone();
        let keys: Vec<Vec<u8>> = origins.iter().map(|(_, origin)| origin.key()).collect();
        let hosts = self.hosts.clone();
        let found = tokio::task::spawn_blocking(move || {
            let is_allowed = |host: &str| lacking(&hosts, host).is_none();
            let mut all = keys.iter();
            all.find_map(|key| cache.find(key, &source, is_allowed))
        });
        found.await.ok().flatten()
    }

    async fn fetch_from(
        &self,
        location: &str,
        origin: Origin,
        source: &Source,
    ) -> Result<Download, DownloadError> {
        let mut sink = Sink::new(
            location,
            source.checksum.as_ref(),
            source
                .max_bytes
                .unwrap_or(self.max_bytes)
                .min(self.max_bytes),
            self.cache.as_ref(),
        )?;
        let key = origin.key();
        let mut host = None;
        match origin {
            Origin::Project { root, path } => {
                let mut options = cap_std::fs::OpenOptions::new();
                options.read(true).custom_flags(without_waiting());
                let root = Dir::open_ambient_dir(root, cap_std::ambient_authority());
                let file = root.and_then(|dir| dir.open_with(path, &options));
                let file = file.map_err(|error| DownloadError::io(location, error))?;
                sink = copy(file.into_std(), sink).await?;
            }
            Origin::File(path) => {
                let mut options = File::options();
                options.read(true).custom_flags(without_waiting());
                let file = options.open(path);
                let file = file.map_err(|error| DownloadError::io(location, error))?;
                sink = copy(file, sink).await?;
            }
            Origin::Web(url) => host = Some(self.download(url, location, &mut sink).await?),
        }
        let mut download = sink.finish()?;
        if let Some(cache) = &self.cache {
            cache.record(&key, source, &download.sha256, host.as_deref());
        }
        download.location = Some(location.to_owned());
        Ok(download)
    }

    /// Downloads into `sink`. Returns the host that sent the bytes, after all redirections.
    async fn download(
        &self,
        url: Url,
        location: &str,
        sink: &mut Sink<'_>,
    ) -> Result<String, DownloadError> {
        if self.offline {
            return Err(DownloadError::Offline {
                location: location.to_owned(),
            });
        }
        let failed = |error: reqwest::Error| DownloadError::of_web(location, self.stall, &error);
        let client = self.client().map_err(failed)?;
        let mut response = client.get(url).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(DownloadError::Status {
                location: location.to_owned(),
                status: response.status().as_u16(),
            });
        }
        if let Some(announced) = response.content_length() {
            sink.expect(announced)?;
        }
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            sink.take(&piece)?;
        }
        Ok(response.url().host_str().unwrap_or_default().to_owned())
    }

    /// Checks that a URL's host is allowed. The error says where to add it.
    fn check_host(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        match lacking(&self.hosts, host) {
            None => Ok(()),
            Some(list) => Err(format!(
                "`{host}` is not an allowed host; add it to {}",
                list.from
            )),
        }
    }

    /// Returns the client, which the first call makes: that reads the system's certificates.
    fn client(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Fails if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hosts = self.hosts.clone();
        let policy = reqwest::redirect::Policy::custom(move |attempt| {
            let host = attempt.url().host_str().unwrap_or_default().to_owned();
            if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error(format!("more than {MAX_REDIRECTS} redirections"))
            } else if let Some(list) = lacking(&hosts, &host) {
                let from = list.from;
                attempt.error(format!("redirected to `{host}`, which is not in {from}"))
            } else {
                attempt.follow()
            }
        });
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("persea/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(policy);
        if let Some(stall) = self.stall {
            client = client.read_timeout(stall);
        }
        let client = client.build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Returns the first list of allowed hosts that excludes this host.
fn lacking<'a>(lists: &'a [Hosts], host: &str) -> Option<&'a Hosts> {
    lists.iter().find(|list| !is_listed(&list.names, host))
}

/// Whether a host is in a list of names. `*` matches any host, and `*.example.org` every host below
/// `example.org`.
fn is_listed(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|listed| match listed.strip_prefix('*') {
        Some("") => true,
        Some(end) => end.starts_with('.') && host.ends_with(end),
        None => listed.eq_ignore_ascii_case(host),
    })
}

/// How to allow `file://` locations.
const FILES: &str = "set `fetch.files = true` in your own configuration, as the host can read \
                     files that a sandbox hides";

/// A parsed location.
#[derive(Debug, PartialEq)]
enum Origin {
    Web(Url),
    File(PathBuf),
    Project { root: PathBuf, path: PathBuf },
}

impl Origin {
    /// The key in the cache. It differs between the same path of two projects.
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Web(url) => url.as_str().as_bytes().to_vec(),
            Self::File(path) => [b"file:", path.as_os_str().as_bytes()].concat(),
            Self::Project { root, path } => {
                let path = root.join(path);
                [b"project:", path.as_os_str().as_bytes()].concat()
            }
        }
    }

    fn parse(location: &str, project: &Path) -> Result<Self, DownloadError> {
        let unknown = |why: String| DownloadError::Location {
            location: location.to_owned(),
            why,
        };
        if !location.contains("://") {
            return Ok(Self::Project {
                root: project.to_path_buf(),
                path: PathBuf::from(location),
            });
        }
        let url = Url::parse(location).map_err(|error| unknown(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Web(url)),
            "file" => url
                .to_file_path()
                .map(Self::File)
                .map_err(|()| unknown("it is not a path of this machine".to_owned())),
            other => Err(unknown(format!("the scheme `{other}` is not supported"))),
        }
    }
}

/// The flags with which opening a pipe or device does not block.
fn without_waiting() -> i32 {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests;
