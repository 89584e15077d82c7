//! What a requirement of kind `container-image` or `podman-image` asks for, read from its arguments. It must not know what is there.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;
use persea_requirement_tool::find;

use crate::tool::Tool;

/// The configuration key with the tool for all images that name none.
pub(crate) const SETTING: &str = "requirement.container-image.tool";

/// Avocado's kind, of which podman is part of the name.
const PODMAN_IMAGE: &str = "podman-image";

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) reference: &'a str,
    /// Without one it's the first that is there.
    tool: Option<Tool>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a Request) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &["name", "tool"])?;
        let Some(reference) = arguments.thing("name")? else {
            return Err(arguments.invalid("it needs a `uri` or `name`: the image"));
        };
        // The registry is where podman looks by itself.
        let reference = reference.strip_prefix("docker://").unwrap_or(reference);
        let is_plain = !reference.starts_with('-') && !reference.contains(char::is_control);
        if !is_plain || reference.is_empty() {
            return Err(arguments.invalid(format!("{reference:?} is no image")));
        }
        let tool = match arguments.text("tool")? {
            Some(name) => Some(Tool::named(name)?),
            None => None,
        };
        let is_podman = request.requirement.kind == PODMAN_IMAGE;
        if is_podman && tool == Some(Tool::Docker) {
            let message = "it is had by podman; for docker, make it one of kind container-image";
            return Err(arguments.invalid(message));
        }
        let tool = match (tool, request.settings.get(SETTING)) {
            (Some(tool), _) => Some(tool),
            _ if is_podman => Some(Tool::Podman),
            (None, None | Some(Value::None)) => None,
            (None, Some(Value::Text(name))) if name.is_empty() => None,
            (None, Some(Value::Text(name))) => Some(Tool::named(name)?),
            (None, Some(_)) => {
                let message = format!("{SETTING} is podman or docker");
                return Err(Error::new("invalid", message));
            }
        };
        Ok(Self { reference, tool })
    }

    /// The tool, which is there.
    pub(crate) fn tool(&self) -> Result<Tool, Error> {
        let Some(tool) = self.tool else {
            return Tool::found();
        };
        let name = tool.name();
        match find(name)? {
            Some(_) => Ok(tool),
            None => {
                let message = format!(
                    "there is no program `{name}` in this environment to have images with; install it, as by a requirement of kind package"
                );
                Err(Error::new("not-found", message))
            }
        }
    }
}
