//! Owns reading and checking the arguments of a requirement of kind `container-image` or
//! `podman-image`. Does not know which images exist.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;
use persea_requirement_tool::find_program;

use crate::tool::Tool;

/// The tool for requirements that name none.
pub(crate) const TOOL_SETTING: OptionalSetting<Text> =
    Setting::text("requirement.container-image.tool")
        .choices(&["podman", "docker"])
        .summary("The tool that looks for container images and pulls them");

/// Avocado's kind, which always uses podman.
const PODMAN_IMAGE: &str = "podman-image";

/// Arguments of a requirement for an image.
#[derive(Debug)]
pub(crate) struct ImageSpec<'a> {
    pub(crate) reference: &'a str,
    /// `None` for the first tool that the environment has.
    tool: Option<Tool>,
}

impl<'a> ImageSpec<'a> {
    pub(crate) fn read(request: &'a RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &["name", "tool"])?;
        let Some(reference) = arguments.uri_or("name")? else {
            return Err(arguments.invalid("it needs a `uri` or `name`: the image"));
        };
        // A registry is podman's default, and docker does not know the prefix.
        let reference = reference.strip_prefix("docker://").unwrap_or(reference);
        let is_plain = !reference.starts_with('-') && !reference.contains(char::is_control);
        if !is_plain || reference.is_empty() {
            return Err(arguments.invalid(format!("{reference:?} is not a valid image reference")));
        }
        let tool = match arguments.text("tool")? {
            Some(name) => Some(Tool::from_name(name)?),
            None => None,
        };
        let is_podman = request.requirement.kind == PODMAN_IMAGE;
        if is_podman && tool == Some(Tool::Docker) {
            let message = "it uses podman; for docker, use the kind container-image";
            return Err(arguments.invalid(message));
        }
        let tool = match (tool, TOOL_SETTING.get(&request.settings)) {
            (Some(tool), _) => Some(tool),
            _ if is_podman => Some(Tool::Podman),
            (None, None | Some("")) => None,
            (None, Some(name)) => Some(Tool::from_name(name)?),
        };
        Ok(Self { reference, tool })
    }

    /// Returns the tool to use, after a check that the environment has it.
    pub(crate) fn tool(&self) -> Result<Tool, Error> {
        let Some(tool) = self.tool else {
            return Tool::detect();
        };
        let name = tool.name();
        match find_program(name)? {
            Some(_) => Ok(tool),
            None => {
                let message = format!(
                    "this environment has no program `{name}` to pull images with; install it, for \
                     example by a requirement of kind package"
                );
                Err(Error::new("not-found", message))
            }
        }
    }
}
