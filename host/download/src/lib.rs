//! What is downloaded for requirements: from where, held to its checksum, kept for later jobs. Knows nothing of plugins or jobs.
//!
//! What is kept lies in one directory of this user: each file by the SHA-256 of its bytes, and below `by/` which of them a location had.
//! A kept file counts only for the location that it came from, so that who may not ask a location does not get what others had from it. All is written aside and renamed, so that several hosts can share it; what is broken or gone is fetched again.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod checksum;
mod error;
mod kept;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use cap_std::fs::{Dir, OpenOptionsExt as _};
use reqwest::Url;
use rustix::fs::OFlags;

pub use checksum::Checksum;
pub use error::DownloadError;

use kept::Kept;
use persea_config::Config;
use persea_config::settings;

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// How often a server may send elsewhere.
const REDIRECTS: usize = 10;

/// What to get, and where it may be had.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// URLs, or paths in the project's directory; the first that can be had counts.
    pub locations: Vec<String>,
    /// What the bytes must come to.
    pub checksum: Option<Checksum>,
    /// The largest that is taken, in bytes.
    pub max_bytes: Option<u64>,
    /// What was kept for longer is fetched again.
    pub max_age: Option<Duration>,
}

/// What was got.
#[derive(Debug)]
pub struct Download {
    /// Its bytes, from the beginning.
    pub file: File,
    /// How many.
    pub size: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The location that had it; none when it was kept.
    pub location: Option<String>,
}

/// A list of hosts that may be asked, and what has to be changed for more.
#[derive(Clone, Debug)]
struct Hosts {
    names: Vec<String>,
    from: &'static str,
}

/// Downloads as they are configured.
#[derive(Debug)]
pub struct Downloads {
    /// What may be asked: each of these lists must have a host.
    hosts: Vec<Hosts>,
    files: bool,
    offline: bool,
    unverified: bool,
    max_bytes: u64,
    stall: Option<Duration>,
    kept: Option<Kept>,
    /// Where locations that are no URLs are looked for.
    project: PathBuf,
    /// Whether those may be fetched.
    project_files: bool,
    client: OnceLock<reqwest::Client>,
}

impl Downloads {
    /// With the settings `fetch.*`; what is got is kept below `cache`, where there is one. `project` is the directory in which
    /// locations that are no URLs are looked for.
    pub fn new(config: &Config, cache: Option<&Path>, project: &Path) -> Self {
        Self {
            hosts: vec![Hosts {
                names: config.get(settings::FETCH_HOSTS),
                from: "the setting `fetch.hosts`",
            }],
            // An environment that isolates may not show what the host can read.
            files: config
                .get(settings::FETCH_FILES)
                .unwrap_or(!config.get(settings::RUN_SPAWNER).is_isolating()),
            offline: config.get(settings::FETCH_OFFLINE),
            unverified: config.get(settings::FETCH_UNVERIFIED),
            max_bytes: config.get(settings::FETCH_MAX_MB).saturating_mul(1 << 20),
            stall: config.get(settings::FETCH_STALL),
            kept: cache.map(|cache| Kept::new(cache.join("downloads"))),
            project: project.to_path_buf(),
            project_files: true,
            client: OnceLock::new(),
        }
    }

    /// The same for one who may ask only these hosts, as far as all others may. What is no host stands for files: `file` for those of the
    /// machine, `.` for those of the project.
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
            project: self.project.clone(),
            project_files: self.project_files && is_named("."),
            offline: self.offline,
            unverified: self.unverified,
            max_bytes: self.max_bytes,
            stall: self.stall,
            kept: self.kept.clone(),
            client: OnceLock::new(),
        }
    }

    /// Gets something, from what is kept or from the first location that has it. Of locations that may not be asked nothing that is kept is
    /// given either.
    pub async fn fetch(&self, source: &Source) -> Result<Download, DownloadError> {
        let names = || source.locations.join(", ");
        if source.checksum.is_none() && !self.unverified {
            return Err(DownloadError::Unverified { what: names() });
        }
        let mut failures = Vec::new();
        let mut places = Vec::new();
        for location in &source.locations {
            match self.place(location) {
                Ok(place) => places.push((location, place)),
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(kept) = self.find(source, &places).await {
            return Ok(kept);
        }
        for (location, place) in places {
            match self.fetch_from(location, place, source).await {
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

    /// Where a location leads, if it may be asked.
    fn place(&self, location: &str) -> Result<Place, DownloadError> {
        let place = Place::read(location, &self.project)?;
        let refused = match &place {
            Place::Web(url) => self.may_ask(url),
            Place::File(_) if self.files => Ok(()),
            Place::File(_) => Err(format!(
                "{FILES}, or add `file` to the plugin's grant `fetch`"
            )),
            Place::Project { .. } if self.project_files => Ok(()),
            Place::Project { .. } => {
                Err("files of the project are not in the plugin's grant `fetch`, as `.`".to_owned())
            }
        };
        match refused {
            Ok(()) => Ok(place),
            Err(why) => Err(DownloadError::NotPermitted {
                location: location.to_owned(),
                why,
            }),
        }
    }

    /// What is kept of that from one of these places. On a thread of its own: a large file is read from end to end.
    async fn find(&self, source: &Source, places: &[(&String, Place)]) -> Option<Download> {
        let kept = self.kept.clone()?;
        let source = source.clone();
        let keys: Vec<Vec<u8>> = places.iter().map(|(_, place)| place.key()).collect();
        let hosts = self.hosts.clone();
        let found = tokio::task::spawn_blocking(move || {
            let may_come_from = |host: &str| lacking(&hosts, host).is_none();
            let mut all = keys.iter();
            all.find_map(|key| kept.find(key, &source, may_come_from))
        });
        found.await.ok().flatten()
    }

    async fn fetch_from(
        &self,
        location: &str,
        place: Place,
        source: &Source,
    ) -> Result<Download, DownloadError> {
        let mut sink = Sink::new(
            location,
            source.checksum.as_ref(),
            source
                .max_bytes
                .unwrap_or(self.max_bytes)
                .min(self.max_bytes),
            self.kept.as_ref(),
        )?;
        let key = place.key();
        let mut host = None;
        match place {
            Place::Project { root, path } => {
                let mut options = cap_std::fs::OpenOptions::new();
                options.read(true).custom_flags(without_waiting());
                let root = Dir::open_ambient_dir(root, cap_std::ambient_authority());
                let file = root.and_then(|dir| dir.open_with(path, &options));
                let file = file.map_err(|error| DownloadError::io(location, error))?;
                sink = copy(file.into_std(), sink).await?;
            }
            Place::File(path) => {
                let mut options = File::options();
                options.read(true).custom_flags(without_waiting());
                let file = options.open(path);
                let file = file.map_err(|error| DownloadError::io(location, error))?;
                sink = copy(file, sink).await?;
            }
            Place::Web(url) => host = Some(self.download(url, location, &mut sink).await?),
        }
        let mut download = sink.finish()?;
        if let Some(kept) = &self.kept {
            kept.remember(&key, source, &download.sha256, host.as_deref());
        }
        download.location = Some(location.to_owned());
        Ok(download)
    }

    /// Downloads into `sink`, and gives the host from which it came in the end.
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

    /// Whether a server may be asked; and if not, why.
    fn may_ask(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        match lacking(&self.hosts, host) {
            None => Ok(()),
            Some(list) => Err(format!(
                "`{host}` is not on the list of hosts that may be asked; add it to {}",
                list.from
            )),
        }
    }

    /// Made when it is needed for the first time: it reads the system's certificates.
    fn client(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error means that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hosts = self.hosts.clone();
        let policy = reqwest::redirect::Policy::custom(move |attempt| {
            let host = attempt.url().host_str().unwrap_or_default().to_owned();
            if attempt.previous().len() > REDIRECTS {
                attempt.error("it was sent elsewhere too often")
            } else if let Some(list) = lacking(&hosts, &host) {
                let from = list.from;
                attempt.error(format!("it was sent to `{host}`, which is not in {from}"))
            } else {
                attempt.follow()
            }
        });
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("persea/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(policy);
        if let Some(stall) = self.stall {
            client = client.read_timeout(stall);
        }
        let client = client.build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// The first list that does not have a host.
fn lacking<'a>(lists: &'a [Hosts], host: &str) -> Option<&'a Hosts> {
    lists.iter().find(|list| !is_listed(&list.names, host))
}

/// Whether a host is in a list of names, in which `*` is any host and `*.example.org` every one below `example.org`.
fn is_listed(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|listed| match listed.strip_prefix('*') {
        Some("") => true,
        Some(end) => end.starts_with('.') && host.ends_with(end),
        None => listed.eq_ignore_ascii_case(host),
    })
}

/// How to allow `file://` locations.
const FILES: &str = "set `fetch.files = true` in your own configuration, as the host may read more than a sandbox shows";

/// Where a location leads.
#[derive(Debug, PartialEq)]
enum Place {
    Web(Url),
    File(PathBuf),
    Project { root: PathBuf, path: PathBuf },
}

impl Place {
    /// The name under which what comes from here is kept. A project's file is another one in each project.
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

    fn read(location: &str, project: &Path) -> Result<Self, DownloadError> {
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
                .map_err(|()| unknown("it is no path of this machine".to_owned())),
            other => Err(unknown(format!("`{other}` is not known"))),
        }
    }
}

/// Flags for opening what may be a pipe, for whose other end nobody is to wait.
fn without_waiting() -> i32 {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.bits().cast_signed()
}

/// Takes a file's bytes, and gives way to others between its pieces.
async fn copy<'a>(mut file: File, sink: Sink<'a>) -> Result<Sink<'a>, DownloadError> {
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

/// Where the bytes of a download go, and what they come to.
struct Sink<'a> {
    location: &'a str,
    checksum: Option<checksum::Running<'a>>,
    sha256: checksum::Sha256,
    max_bytes: u64,
    size: u64,
    file: tempfile::NamedTempFile,
    kept: Option<&'a Kept>,
}

impl<'a> Sink<'a> {
    fn new(
        location: &'a str,
        checksum: Option<&'a Checksum>,
        max_bytes: u64,
        kept: Option<&'a Kept>,
    ) -> Result<Self, DownloadError> {
        let file = match kept {
            Some(kept) => kept.new_file(),
            None => tempfile::NamedTempFile::new(),
        };
        Ok(Self {
            location,
            checksum: checksum.map(Checksum::start),
            sha256: checksum::Sha256::default(),
            max_bytes,
            size: 0,
            file: file.map_err(|error| DownloadError::Store { source: error })?,
            kept,
        })
    }

    /// How much is announced to come.
    fn expect(&self, size: u64) -> Result<(), DownloadError> {
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

    fn take(&mut self, piece: &[u8]) -> Result<(), DownloadError> {
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

    fn finish(self) -> Result<Download, DownloadError> {
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
        let mut file = match self.kept {
            Some(kept) => kept.keep(self.file, &sha256),
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

#[cfg(test)]
mod tests;
