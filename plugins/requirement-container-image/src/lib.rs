//! The requirement resolver for the kinds `container-image` and `podman-image`: an image is there for the containers of an environment,
//! or is pulled. How podman and docker are asked is in `tool`; this decides what to do and what it takes to undo it.

mod tool;
mod wanted;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;

use tool::{Named, Tool};
use wanted::{SETTING, Wanted};

/// The names of what `release` needs. `new`: whether the image itself came by the pull, and not only names of it.
const TOOL: &str = "tool";
const IMAGE: &str = "image";
const NEW: &str = "new";
const ADDED: &str = "added";
const MOVED: &str = "moved";

/// The plugin.
#[derive(Debug)]
pub struct ContainerImage;

impl RequirementResolver for ContainerImage {
    fn describe() -> Description {
        let summary = "looks for a container image, or pulls it with podman or docker";
        Description::new("container-image", summary)
            .kinds(["container-image", "podman-image"])
            .with("network", true)
            .settings([SETTING])
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        let wanted = Wanted::read(request)?;
        let tool = wanted.tool()?;
        // What is in an archive has a name of its own, which is known when it has been pulled.
        let is_there = !tool.is_transport(wanted.reference) && tool.has(wanted.reference)?;
        Ok(match is_there {
            true => Presence::Present,
            false => Presence::Absent,
        })
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let wanted = Wanted::read(request)?;
        let (reference, tool) = (wanted.reference, wanted.tool()?);
        let before = tool.images()?;
        let _ = status::progress(&format!("pulling {reference} with {}", tool.name()));
        let image = tool.pull(reference)?;
        let is_new = before.iter().all(|(known, _)| *known != image);
        let after = tool.images().inspect_err(|_| {
            if is_new {
                let _ = tool.remove(&image);
            }
        })?;
        let known: Vec<(&str, &str)> = names(&before).collect();
        let is_added = |new: &(&str, &str)| new.0 == image && !known.contains(new);
        let added: Vec<(&str, &str)> = names(&after).filter(is_added).collect();
        let is_moved =
            |old: &&(&str, &str)| old.0 != image && added.iter().any(|(_, name)| *name == old.1);
        let moved: Vec<&(&str, &str)> = known.iter().filter(is_moved).collect();
        let added = serde_json::json!(added).to_string();
        let moved = serde_json::json!(moved).to_string();
        Ok(Attributes::new()
            .with(TOOL, tool.name())
            .with("reference", reference)
            .with(IMAGE, image.as_str())
            .with(NEW, is_new)
            .with(ADDED, Value::json(added))
            .with(MOVED, Value::json(moved)))
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let wanted = Wanted::read(request)?;
        let Some(image) = fulfilled.text(IMAGE) else {
            return tell_what_is_left(&wanted);
        };
        let tool = match fulfilled.text(TOOL) {
            Some(name) => Tool::named(name)?,
            None => wanted.tool()?,
        };
        let is_new = fulfilled.boolean(NEW) == Some(true);
        take_back(tool, image, is_new, &noted(fulfilled, ADDED)?)?;
        for (image, name) in noted(fulfilled, MOVED)? {
            if tool.has(&image)? && !tool.has(&name)? {
                tool.tag(&image, &name)?;
            }
        }
        Ok(())
    }
}

/// Images with their names, without those that have none.
fn names(images: &[Named]) -> impl Iterator<Item = (&str, &str)> {
    let names = images.iter();
    names.filter_map(|(image, name)| Some((image.as_str(), name.as_deref()?)))
}

fn noted(fulfilled: &Attributes, name: &str) -> Result<Vec<(String, String)>, Error> {
    let json = fulfilled.json(name).unwrap_or("[]");
    serde_json::from_str(json).map_err(|error| {
        let message =
            format!("what was noted as `{name}` when the image was pulled can't be read: {error}");
        Error::new("invalid", message)
    })
}

/// Removes the names that came by a pull, where they are still that image's, and the image where it came so and has no others.
fn take_back(
    tool: Tool,
    image: &str,
    is_new: bool,
    added: &[(String, String)],
) -> Result<(), Error> {
    for (_, name) in added {
        let now = tool.images()?;
        let of_image = names(&now).filter(|(other, _)| *other == image);
        let names: Vec<&str> = of_image.map(|(_, name)| name).collect();
        match names.as_slice() {
            [only] if only == name && !is_new => {
                // With its last name the image would go.
                let message = format!(
                    "the image {image} had no name before it got {name}, which is left; `{} rmi {name}` removes both",
                    tool.name()
                );
                return Err(Error::new("unknown", message));
            }
            names if names.contains(&name.as_str()) => tool.remove(name)?,
            // It is gone, or another image has it now.
            _ => {}
        }
    }
    let now = tool.images()?;
    let is_there = now.iter().any(|(other, _)| other == image);
    // Others may have given it a name meanwhile.
    let is_others = names(&now).any(|(other, _)| other == image);
    match is_new && is_there && !is_others {
        true => tool.remove(image),
        false => Ok(()),
    }
}

/// What an attempt may have left of which only is known that it was begun. The image may have been pulled by somebody else since.
fn tell_what_is_left(wanted: &Wanted<'_>) -> Result<(), Error> {
    let (reference, tool) = (wanted.reference, wanted.tool()?);
    let name = tool.name();
    let message = match tool.is_transport(reference) {
        true => format!(
            "an image may have been pulled from {reference}; `{name} image ls` shows it, and `{name} rmi` removes it"
        ),
        false if tool.has(reference)? => format!(
            "{reference} may have been pulled for it; `{name} rmi {reference}` removes it if nobody needs it"
        ),
        false => return Ok(()),
    };
    Err(Error::new("unknown", message))
}

export!(requirement_resolver: ContainerImage);

#[cfg(test)]
mod tests;
