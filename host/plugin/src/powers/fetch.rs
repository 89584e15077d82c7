//! The power `fetch`: downloads by the host. What may be fetched, and what is kept, is decided in `download`.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::read_at;
use crate::contract::bindings::fetch::{self as wit, Host};
use crate::contract::bindings::types::{Error, Value};
use crate::contract::convert::{error, io_error};
use crate::engine::limits::Reached;
use crate::instance::state::State;
use persea_download::{Checksum, Downloads, Source};

/// The most downloads that one instance holds at once.
const HELD: usize = 256;

/// The power of one instance.
pub(crate) struct FetchPower {
    downloads: Arc<Downloads>,
    /// By their ids: the place in the list.
    held: Vec<File>,
}

impl FetchPower {
    pub(crate) fn new(downloads: Arc<Downloads>) -> Self {
        Self {
            downloads,
            held: Vec::new(),
        }
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

impl State {
    fn fetch_power(&mut self) -> Result<&mut FetchPower, Error> {
        self.fetch
            .as_mut()
            .ok_or_else(|| error("unsupported", "nothing can be fetched here"))
    }

    async fn fetch_now(&mut self, wanted: wit::Source) -> Result<wit::Download, Error> {
        let power = self.fetch_power()?;
        if power.held.len() >= HELD {
            let what = "downloads for one requirement";
            let instead = "several requirements have as many each".to_owned();
            let reached = Reached::fixed(what, HELD.to_string(), instead);
            return Err(error("limit", format!("it has reached {reached}")));
        }
        let wanted = source(wanted)?;
        let got = power.downloads.fetch(&wanted).await;
        let got = got.map_err(|failure| error(failure.code(), failure.to_string()))?;
        let id = power.held.len().to_string();
        power.held.push(got.file);
        Ok(wit::Download {
            id,
            size: got.size,
            location: got.location,
            more: vec![("sha256".to_owned(), Value::Text(got.sha256))],
        })
    }
}

impl Host for State {
    async fn fetch(
        &mut self,
        source: wit::Source,
    ) -> wasmtime::Result<Result<wit::Download, Error>> {
        Ok(self.fetch_now(source).await)
    }

    async fn read(
        &mut self,
        id: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.fetch_power().and_then(|power| {
            let place = id.parse::<usize>().ok();
            let file = place.and_then(|place| power.held.get(place));
            let file =
                file.ok_or_else(|| error("not-found", format!("{id:?} is no download's id")))?;
            read_at(file, offset, length).map_err(|failure| io_error("a download", &failure))
        }))
    }
}
