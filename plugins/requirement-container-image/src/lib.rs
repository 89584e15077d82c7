//! Owns the requirement resolver for the kinds `container-image` and `podman-image`: pulls an image
//! with podman or docker, and removes at release the names and the image that the pull added.
//! Does not know the commands of podman and docker: see `tool`.

mod spec;
mod tool;

use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;

use spec::{ImageSpec, TOOL_SETTING};
use tool::{ListedImage, Tool};

// Attributes of a fulfilled requirement, read by `release`.
/// Name of the tool.
const TOOL: &str = "tool";
/// Id of the pulled image.
const IMAGE: &str = "image";
/// Whether the pull added the image itself, not only names of it.
const NEW: &str = "new";
/// Pairs of the image's id and a name that the pull added.
const ADDED: &str = "added";
/// Pairs of another image's id and a name that the pull took from that image.
const MOVED: &str = "moved";

/// The requirement resolver `container-image`.
#[derive(Debug)]
pub struct ContainerImage;

impl Plugin for ContainerImage {
    fn describe() -> Description {
        let summary = "looks for a container image, or pulls it with podman or docker";
        let role = Role::requirement_resolver(["container-image", "podman-image"]);
        Description::new("container-image", summary)
            .role(role.with("network", true))
            .setting(&TOOL_SETTING)
    }
}

impl RequirementResolver for ContainerImage {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        let spec = ImageSpec::read(request)?;
        let tool = spec.tool()?;
        // The name of an image in an archive is known only after the pull.
        let is_present = !tool.is_transport(spec.reference) && tool.has(spec.reference)?;
        let presence = match is_present {
            true => Presence::Present,
            false => Presence::Absent,
        };
        Ok(presence.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let spec = ImageSpec::read(request)?;
        let (reference, tool) = (spec.reference, spec.tool()?);
        let before = tool.images()?;
        let _ = messages::progress(&format!("pulling {reference} with {}", tool.name()));
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
        Ok(FulfilledRequirement::new()
            .undo(TOOL, tool.name())
            .undo("reference", reference)
            .undo(IMAGE, image.as_str())
            .undo(NEW, is_new)
            .undo(ADDED, Value::json(added))
            .undo(MOVED, Value::json(moved)))
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let spec = ImageSpec::read(&request.request)?;
        let Some(undo) = &request.undo else {
            return report_unrecorded(&spec);
        };
        let Some(image) = undo.text(IMAGE) else {
            return Err(Error::new("invalid", "the record of the pull has no image"));
        };
        let tool = match undo.text(TOOL) {
            Some(name) => Tool::from_name(name)?,
            None => spec.tool()?,
        };
        let is_new = undo.boolean(NEW) == Some(true);
        remove_added(tool, image, is_new, &recorded(undo, ADDED)?)?;
        for (image, name) in recorded(undo, MOVED)? {
            if tool.has(&image)? && !tool.has(&name)? {
                tool.tag(&image, &name)?;
            }
        }
        Ok(())
    }
}

/// Returns pairs of an image's id and name, without the images that have no name.
fn names(images: &[ListedImage]) -> impl Iterator<Item = (&str, &str)> {
    let names = images.iter();
    names.filter_map(|(image, name)| Some((image.as_str(), name.as_deref()?)))
}

/// Reads a list of image ids and names from an attribute.
fn recorded(undo: &Attributes, name: &str) -> Result<Vec<(String, String)>, Error> {
    let json = undo.json(name).unwrap_or("[]");
    serde_json::from_str(json).map_err(|error| {
        let message =
            format!("cannot read the recorded attribute `{name}` of the pulled image: {error}");
        Error::new("invalid", message)
    })
}

/// Removes the names that a pull added, as far as they still belong to the image, and the image
/// itself where the pull added it and it has no other names.
fn remove_added(
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
                // Removing the last name would remove the image, which was there before.
                let message = format!(
                    "the name {name} is not removed, because the image {image} had no other name; \
                     `{} rmi {name}` removes both",
                    tool.name()
                );
                return Err(Error::new("unknown", message));
            }
            names if names.contains(&name.as_str()) => tool.remove(name)?,
            // The name has been removed, or belongs to another image now.
            _ => {}
        }
    }
    let now = tool.images()?;
    let is_present = now.iter().any(|(other, _)| other == image);
    // Somebody else may have given the image a name meanwhile.
    let has_other_name = names(&now).any(|(other, _)| other == image);
    match is_new && is_present && !has_other_name {
        true => tool.remove(image),
        false => Ok(()),
    }
}

/// Reports what an interrupted attempt without a record may have left. Nothing is removed, because
/// somebody else may have pulled the image.
fn report_unrecorded(spec: &ImageSpec<'_>) -> Result<(), Error> {
    let (reference, tool) = (spec.reference, spec.tool()?);
    let name = tool.name();
    let message = match tool.is_transport(reference) {
        true => format!(
            "an image may have been pulled from {reference}; find it by `{name} image ls`, and \
             remove it by `{name} rmi`"
        ),
        false if tool.has(reference)? => format!(
            "{reference} may have been pulled for the requirement; if nothing needs it, remove it \
             by `{name} rmi {reference}`"
        ),
        false => return Ok(()),
    };
    Err(Error::new("unknown", message))
}

export!(ContainerImage: requirement_resolver);

#[cfg(test)]
mod tests;
