//! The requirement resolver for the kind `asset`: the host downloads a file, which is put into the environment, and the tests find in
//! an environment variable where it is. Which servers may be asked, what is kept and for how long is the host's.

mod wanted;

use persea_plugin_sdk::fetch::{self, Download};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;
use persea_requirement_tool::place::{Content, Kind, Place, Placed};

use wanted::Wanted;

/// How much of a download is in memory at a time: as much as the host gives at once.
const PIECE: u32 = 1 << 20;

/// The names of what is told to the host and to `release`.
const ENV: &str = "env";
const PATH: &str = "path";
const MADE: &str = "made";
const DIRECTORY: &str = "directory";

/// The plugin.
#[derive(Debug)]
pub struct Asset;

impl RequirementResolver for Asset {
    fn describe() -> Description {
        let summary = "downloads a file, and tells the tests where it is";
        Description::new("asset", summary).kinds(["asset"])
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        // The tests have to be told where it is, each time.
        Wanted::read(request).map(|_| Presence::Absent)
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let wanted = Wanted::read(request)?;
        let place = &wanted.place;
        place.can_be_made()?;
        let is_there = match place.look()? {
            Kind::Absent => false,
            Kind::File => true,
            Kind::Directory | Kind::Other => {
                return Err(refuse(place, "there is no ordinary file"));
            }
        };
        if is_there && let Some(sha256) = wanted.sha256() {
            is_same(&wanted, sha256)?;
            return Ok(told(&wanted, None));
        }
        let name = &wanted.file_name;
        let _ = status::progress(&format!("fetching {name}"));
        let download = fetch::fetch(&wanted.source)?;
        if is_there {
            is_same(&wanted, download.more.text("sha256").unwrap_or_default())?;
            return Ok(told(&wanted, None));
        }
        let content = Content {
            size: download.size,
            mode: if wanted.executable { "0755" } else { "0644" }.to_owned(),
            pieces: pieces(&download),
        };
        let placed = place.write(content, false)?;
        Ok(told(&wanted, Some(placed)))
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let Some(path) = fulfilled.text(PATH) else {
            return take_back_unknown(&Wanted::read(request)?);
        };
        if fulfilled.boolean(MADE) != Some(true) {
            return Ok(());
        }
        // A test may have changed it: it was never there for anything else.
        Place::noted(path).clear(&Placed {
            directory: fulfilled.text(DIRECTORY).map(str::to_owned),
            earlier: false,
        })
    }
}

/// Holds a file that is there already against what would be put there.
fn is_same(wanted: &Wanted, sha256: &str) -> Result<(), Error> {
    if wanted.place.sha256()? != sha256 {
        return Err(refuse(&wanted.place, "another file is there already"));
    }
    if wanted.executable && !wanted.place.is_executable()? {
        return Err(refuse(
            &wanted.place,
            "it is there already, but may not be executed",
        ));
    }
    Ok(())
}

fn refuse(place: &Place, why: &str) -> Error {
    let path = place.path();
    let message =
        format!("the asset cannot be put at {path}: {why}; remove it, or give another `path`");
    Error::new("exists", message)
}

/// What the host and `release` are told.
fn told(wanted: &Wanted, placed: Option<Placed>) -> Attributes {
    let path = wanted.place.path();
    let variables = serde_json::json!({ &wanted.variable: path });
    let told = Attributes::new()
        .with(ENV, Value::json(variables.to_string()))
        .with(PATH, path)
        .with(MADE, placed.is_some());
    match placed.and_then(|placed| placed.directory) {
        Some(directory) => told.with(DIRECTORY, directory),
        None => told,
    }
}

/// The bytes of a download.
fn pieces(download: &Download) -> impl Iterator<Item = Result<Vec<u8>, Error>> + '_ {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= download.size {
            return None;
        }
        let piece = download.read(offset, PIECE);
        if let Ok(piece) = &piece {
            if piece.is_empty() {
                return None;
            }
            offset += piece.len() as u64;
        }
        Some(piece)
    })
}

/// Undoes what an attempt has done of which only is known that it was begun.
fn take_back_unknown(wanted: &Wanted) -> Result<(), Error> {
    let place = &wanted.place;
    if let Some(directory) = &wanted.own_directory {
        // Nothing else is ever put there.
        return place.clear(&Placed {
            directory: Some(directory.clone()),
            earlier: false,
        });
    }
    place.clear_aside()?;
    if place.look()? == Kind::Absent {
        return Ok(());
    }
    let path = place.path();
    let message = format!("{path} may have been put there for it; remove it if nobody needs it");
    Err(Error::new("unknown", message))
}

export!(requirement_resolver: Asset);

#[cfg(test)]
mod tests;
