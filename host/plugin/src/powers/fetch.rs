//! The power `fetch`: downloads by the host. Does not know what may be fetched or what is kept:
//! `persea-download` decides.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::HasSelf;

use self::bindings::persea::plugin::fetch as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::{Error, Value};
use crate::contract::convert::{error, io_error};
use crate::contract::world::World;
use crate::error::reached::ReachedLimit;
use crate::instance::grants::Grant;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::read_at;
use persea_download::{Checksum, Downloads, Source};

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.1.0;
        import persea:plugin/fetch@0.1.0;
    }",
    { default: async | trappable }
);

pub(crate) static POWER: Power = Power {
    name: "fetch",
    worlds: &[World::RequirementResolver],
    words: "have files downloaded by the host",
    grant: Some(&HOSTS),
    more_grants: &[],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
};

/// The grant of hosts to download from.
pub(crate) static HOSTS: Grant = Grant {
    name: "fetch",
    parameter: "HOST",
    default: None,
    built_in: Some("*"),
    check: check_host,
    // A runnable of a resolver can require the network, and the processes of a requirement resolver
    // can use it.
    provenance: &[World::Resolver, World::RequirementResolver],
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

/// The most downloads that one instance has at once.
const MOST_DOWNLOADS: usize = 256;

/// The downloads of one instance.
pub(crate) struct FetchPower {
    downloads: Arc<Downloads>,
    /// The downloaded files. A file's id for the plugin is its index.
    files: Vec<File>,
}

impl PowerState for FetchPower {}

impl FetchPower {
    pub(crate) fn new(downloads: Arc<Downloads>) -> Self {
        Self {
            downloads,
            files: Vec::new(),
        }
    }

    fn file(&self, id: &str) -> Result<&File, Error> {
        let index = id.parse::<usize>().ok();
        let file = index.and_then(|index| self.files.get(index));
        file.ok_or_else(|| error("not-found", format!("{id:?} is no download's id")))
    }
}

fn source(source: wit::Source) -> Result<Source, Error> {
    let number = |wanted: &str| {
        let named = source.more.iter().rev().find(|(name, _)| name == wanted);
        match named.map(|(_, value)| value) {
            None | Some(Value::None) => Ok(None),
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
        max_age: number("max-age")?.map(Duration::from_secs),
        locations: source.locations,
    })
}

impl InstanceState {
    fn fetch_power(&mut self) -> Result<&mut FetchPower, Error> {
        self.power_mut()
            .ok_or_else(|| error("unsupported", "nothing can be fetched here"))
    }

    async fn download(&mut self, wanted: wit::Source) -> Result<wit::Download, Error> {
        let power = self.fetch_power()?;
        if power.files.len() >= MOST_DOWNLOADS {
            let subject = "downloads for one requirement";
            let instead = "several requirements have as many each".to_owned();
            let reached = ReachedLimit::fixed(subject, MOST_DOWNLOADS.to_string(), instead);
            return Err(error("limit", format!("it has reached {reached}")));
        }
        let wanted = source(wanted)?;
        let fetched = power.downloads.fetch(&wanted).await;
        let fetched = fetched.map_err(|failure| error(failure.code(), failure.to_string()))?;
        let id = power.files.len().to_string();
        power.files.push(fetched.file);
        Ok(wit::Download {
            id,
            size: fetched.size,
            location: fetched.location,
            more: vec![("sha256".to_owned(), Value::Text(fetched.sha256))],
        })
    }
}

impl wit::Host for InstanceState {
    async fn fetch(
        &mut self,
        source: wit::Source,
    ) -> wasmtime::Result<Result<wit::Download, Error>> {
        Ok(self.download(source).await)
    }

    async fn read(
        &mut self,
        id: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.fetch_power().and_then(|power| {
            let file = power.file(&id)?;
            read_at(file, offset, length).map_err(|failure| io_error("a download", &failure))
        }))
    }
}
