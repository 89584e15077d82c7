//! The power `fetch`: downloads by the host. Does not know what may be fetched or what is kept:
//! `persea-download` decides.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use crate::contract::convert::{error, io_error};
use crate::contract::data::{DownloadSource, Error, Value};
use crate::contract::limits::{DOWNLOAD_READ, DOWNLOADS};
use crate::contract::world::World;
use crate::instance::grants::Grant;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::read_at;
use persea_download::{Checksum, Downloads, Source};

pub(crate) static POWER: Power = Power {
    name: "fetch",
    worlds: &[World::RequirementResolver],
    words: "have files downloaded by the host",
    grant: Some(&HOSTS),
    more_grants: &[],
};

/// The grant of hosts to download from.
pub(crate) static HOSTS: Grant = Grant {
    name: "fetch",
    parameter: "HOST",
    default: None,
    built_in: Some("*"),
    check: check_host,
    // A runnable of a resolver or a lister and a variant of a varianter can require the network,
    // and the processes of a requirement resolver can use it.
    provenance: &[
        World::Resolver,
        World::Lister,
        World::Varianter,
        World::RequirementResolver,
    ],
    propose: None,
    summary: "hosts to download from: `*.example.org` for all below a domain, `.` for files of the \
              project, `file` for other files, `*` for any host",
};

fn check_host(host: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let name = host.strip_prefix('*').unwrap_or(host);
    match is_ipv6(host) || name.chars().all(is_plain) {
        true => Ok(()),
        false => Err("that is no host's name, as `example.org` or `*.example.org`".to_owned()),
    }
}

/// Whether a host is an IPv6 address, in brackets as in a URL.
fn is_ipv6(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A downloaded file, open until the plugin drops its handle.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct DownloadedFile {
    file: File,
    /// In bytes.
    pub(crate) size: u64,
    /// Where the file came from.
    pub(crate) location: Option<String>,
    pub(crate) sha256: String,
}

/// The downloads of one instance.
pub(crate) struct FetchPower {
    downloads: Arc<Downloads>,
    /// How many downloaded files are open.
    open: usize,
}

impl PowerState for FetchPower {}

impl FetchPower {
    pub(crate) fn new(downloads: Arc<Downloads>) -> Self {
        Self { downloads, open: 0 }
    }
}

fn source(source: DownloadSource) -> Result<Source, Error> {
    let number = |wanted: &str| {
        let named = source.more.iter().rev().find(|(name, _)| name == wanted);
        match named.map(|(_, value)| value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Integer(number)) if *number >= 0 => Ok(Some(number.cast_unsigned())),
            Some(_) => Err(error(
                "invalid",
                format!("`{wanted}` of a source is a whole number from 0"),
            )),
        }
    };
    let checksum = source.checksum.as_deref().map(str::parse::<Checksum>);
    Ok(Source {
        checksum: checksum
            .transpose()
            .map_err(|message| error("invalid", message))?,
        max_bytes: number("max-bytes")?,
        max_age: number("max-age")?.map(Duration::from_nanos),
        locations: source.locations,
    })
}

impl InstanceState {
    async fn download(&mut self, wanted: DownloadSource) -> Result<DownloadedFile, Error> {
        let power: &mut FetchPower = self.permitted(&POWER)?;
        if power.open >= DOWNLOADS.most {
            let message = DOWNLOADS.exceeded(power.open + 1);
            return Err(error(
                "limit",
                format!("{message}; drop those that are read"),
            ));
        }
        let wanted = source(wanted)?;
        let fetched = power.downloads.fetch(&wanted).await;
        let fetched = fetched.map_err(|failure| error(failure.code(), failure.to_string()))?;
        power.open += 1;
        Ok(DownloadedFile {
            file: fetched.file,
            size: fetched.size,
            location: fetched.location,
            sha256: fetched.sha256,
        })
    }
}

impl InstanceState {
    /// Downloads a file, and returns a handle of it.
    pub(crate) async fn fetch_file(
        &mut self,
        source: DownloadSource,
    ) -> wasmtime::Result<Result<Resource<DownloadedFile>, Error>> {
        Ok(match self.download(source).await {
            Ok(download) => Ok(self.resources.push(download)?),
            Err(failure) => Err(failure),
        })
    }

    /// Returns what is known about a download.
    pub(crate) fn downloaded(
        &self,
        download: &Resource<DownloadedFile>,
    ) -> wasmtime::Result<&DownloadedFile> {
        Ok(self.resources.get(download)?)
    }

    /// Drops the handle of a download.
    pub(crate) fn drop_download(
        &mut self,
        download: Resource<DownloadedFile>,
    ) -> wasmtime::Result<()> {
        self.resources.delete(download)?;
        if let Some(power) = self.power_mut::<FetchPower>() {
            power.open = power.open.saturating_sub(1);
        }
        Ok(())
    }
}

impl DownloadedFile {
    /// Reads a piece of the file.
    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let bytes = read_at(&self.file, offset, length, &DOWNLOAD_READ);
        bytes.map_err(|failure| io_error("a download", &failure))
    }
}
