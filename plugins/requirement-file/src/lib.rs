//! The requirement resolver for the kind `file`: a file is there, with what it must come to; or it is made of a text, and the
//! earlier one put back afterwards. How a file comes to its place and goes again is `persea_requirement_tool::place`.

mod wanted;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::place::{Content, Kind, Place, Placed};
use persea_requirement_tool::{ask, shell};

use wanted::{Made, Wanted};

/// The names of what `release` needs.
const PATH: &str = "path";
const DIRECTORY: &str = "directory";
const EARLIER: &str = "earlier";

/// How many bytes are written at a time.
const PIECE: usize = 1 << 20;

/// The plugin.
#[derive(Debug)]
pub struct File;

impl RequirementResolver for File {
    fn describe() -> Description {
        Description::new("file", "looks for a file, or makes it of a text")
            .kinds(["file"])
            .with("unique-by", Value::json(r#"["uri","path"]"#))
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        let wanted = Wanted::read(request)?;
        let kind = wanted.place.look()?;
        match &wanted.made {
            Some(made) => is_made(&wanted.place, made, kind),
            None => is_there(&wanted, kind).map(|()| Presence::Present),
        }
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let Wanted { place, made, .. } = Wanted::read(request)?;
        let Some(made) = made else {
            // The check has said so already, in an error.
            return Err(absent(&place));
        };
        let pieces = made.text.as_bytes().chunks(PIECE);
        let content = Content {
            size: made.text.len() as u64,
            mode: format!("{:04o}", made.mode()),
            pieces: pieces.map(|piece| Ok(piece.to_vec())),
        };
        let placed = place.write(content, true)?;
        let mut fulfilled = Attributes::new()
            .with(PATH, place.path())
            .with(EARLIER, placed.earlier);
        if let Some(directory) = placed.directory {
            fulfilled.insert(DIRECTORY, directory);
        }
        Ok(fulfilled)
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let Wanted { place, made, .. } = Wanted::read(request)?;
        let Some(made) = made else {
            return Ok(());
        };
        let Some(path) = fulfilled.text(PATH) else {
            return take_back_unknown(&place, &made);
        };
        let placed = Placed {
            directory: fulfilled.text(DIRECTORY).map(str::to_owned),
            earlier: fulfilled.boolean(EARLIER).unwrap_or_default(),
        };
        take_back(&Place::noted(path), &made, &placed)
    }
}

/// Whether a file that needs no making is as it must be.
fn is_there(wanted: &Wanted<'_>, kind: Kind) -> Result<(), Error> {
    let place = &wanted.place;
    let path = place.path();
    if kind == Kind::Absent {
        return Err(absent(place));
    }
    if wanted.executable && (kind == Kind::Directory || !place.is_executable()?) {
        let message = format!(
            "{path} is there, but is no file that may be executed; `chmod +x` changes that"
        );
        return Err(Error::new("not-permitted", message));
    }
    let Some(expected) = &wanted.sha256 else {
        return Ok(());
    };
    if kind != Kind::File {
        let message = format!("{path} is no ordinary file, so it can't come to a checksum");
        return Err(Error::new("checksum", message));
    }
    let found = place.sha256()?;
    if found == *expected {
        return Ok(());
    }
    let message = format!(
        "{path} comes to sha256:{found}, and not to sha256:{expected}; put the right file there, or correct `checksum`"
    );
    Err(Error::new("checksum", message))
}

fn absent(place: &Place) -> Error {
    let path = place.path();
    let message =
        format!("there is no file {path}; put it there, or give it a `content` to have it made");
    Error::new("not-found", message)
}

/// Whether a file is there as it would be made.
fn is_made(place: &Place, made: &Made<'_>, kind: Kind) -> Result<Presence, Error> {
    let is_same = match kind {
        Kind::Absent => false,
        Kind::File => has_text(place, made.text)? && made.has_mode(place)?,
        Kind::Directory | Kind::Other => {
            let path = place.path();
            let message = format!(
                "{path} cannot be made: there is something that is no ordinary file; remove it, or give another path"
            );
            return Err(Error::new("exists", message));
        }
    };
    place.can_be_made()?;
    Ok(match is_same {
        true => Presence::Present,
        false => Presence::Absent,
    })
}

/// Whether a file holds a text and nothing else.
fn has_text(place: &Place, text: &str) -> Result<bool, Error> {
    let line = r#"[ $(wc -c < "$1") -eq "$2" ] && exec cat < "$1""#;
    let answer = ask(shell(line, [place.path(), &text.len().to_string()]))?;
    Ok(answer.is_yes() && answer.stdout == text)
}

/// Undoes what is known to have been done.
fn take_back(place: &Place, made: &Made<'_>, placed: &Placed) -> Result<(), Error> {
    let (path, earlier) = (place.path(), place.earlier());
    if !is_ours(place, made, placed)? {
        let kept = match placed.earlier {
            true => format!(", and the earlier file is {}", earlier.path()),
            false => String::new(),
        };
        let message =
            format!("{path} is not what was written there any more; it is left as it is{kept}");
        return Err(Error::new("changed", message));
    }
    if placed.earlier && earlier.look()? == Kind::Absent {
        let message = format!(
            "{path} is left as it is: the earlier file, kept as {}, is gone",
            earlier.path()
        );
        return Err(Error::new("not-found", message));
    }
    place.clear(placed)
}

/// Whether nobody but this plugin has made of the file what it is.
fn is_ours(place: &Place, made: &Made<'_>, placed: &Placed) -> Result<bool, Error> {
    Ok(match place.look()? {
        Kind::Absent => true,
        // An earlier file that only has got a second name is still at its place.
        Kind::File => {
            has_text(place, made.text)? || placed.earlier && place.is_same_as(&place.earlier())?
        }
        Kind::Directory | Kind::Other => false,
    })
}

/// Undoes what an attempt has done of which only is known that it was begun: the check before it has found no file, or another one.
fn take_back_unknown(place: &Place, made: &Made<'_>) -> Result<(), Error> {
    let placed = Placed {
        directory: None,
        earlier: place.earlier().look()? != Kind::Absent,
    };
    if !placed.earlier && !is_ours(place, made, &placed)? {
        // That one was there before.
        return place.clear_aside();
    }
    take_back(place, made, &placed)?;
    let Some(directory) = place.empty_directory()? else {
        return Ok(());
    };
    let path = place.path();
    let message = format!(
        "{path} is undone, but {directory}, which is empty, may have been made for it; remove it if nobody needs it"
    );
    Err(Error::new("unknown", message))
}

export!(requirement_resolver: File);

#[cfg(test)]
mod tests;
