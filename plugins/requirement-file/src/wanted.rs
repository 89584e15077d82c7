//! What a requirement of kind `file` asks for, read from its arguments. It must not know what is there.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;
use persea_requirement_tool::place::Place;

const KNOWN: [&str; 5] = ["path", "checksum", "executable", "content", "mode"];

/// The permissions of a file that says nothing of them.
const MODE: u32 = 0o644;
const EXECUTABLE: u32 = 0o111;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) place: Place,
    pub(crate) sha256: Option<String>,
    pub(crate) executable: bool,
    pub(crate) made: Option<Made<'a>>,
}

/// A file that is made where it's missing.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) text: &'a str,
    mode: Option<u32>,
    executable: bool,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a Request) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let Some(path) = arguments.thing("path")? else {
            return Err(arguments.invalid("it needs a `uri` or `path`: the file"));
        };
        let executable = arguments.flag("executable")?;
        let made = made(&arguments, executable)?;
        let sha256 = sha256(&arguments)?;
        if made.is_some() && sha256.is_some() {
            let message = "it has a `content` and a `checksum`; give it one of both";
            return Err(arguments.invalid(message));
        }
        Ok(Self {
            place: Place::new(request, path)?,
            sha256,
            executable,
            made,
        })
    }
}

fn made<'a>(arguments: &Arguments<'a>, executable: bool) -> Result<Option<Made<'a>>, Error> {
    let mode = match arguments.text("mode")? {
        None => None,
        Some(digits) => Some(mode(arguments, digits)?),
    };
    let text = match arguments.value("content") {
        None if mode.is_some() => {
            let message = "it has a `mode`, but no `content` to be made with it";
            return Err(arguments.invalid(message));
        }
        None => return Ok(None),
        Some(Value::Text(text)) => text,
        Some(_) => return Err(arguments.wrong("content", "a text")),
    };
    if executable && mode.is_some_and(|mode| mode & EXECUTABLE == 0) {
        let message = "it is to be `executable`, which its `mode` does not allow";
        return Err(arguments.invalid(message));
    }
    Ok(Some(Made {
        text,
        mode,
        executable,
    }))
}

fn mode(arguments: &Arguments<'_>, digits: &str) -> Result<u32, Error> {
    let octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok();
    let mode = mode.filter(|mode| octal && (3..=4).contains(&digits.len()) && *mode <= 0o7777);
    mode.ok_or_else(|| arguments.wrong("mode", "three or four octal digits as a text, as \"0644\""))
}

fn sha256(arguments: &Arguments<'_>) -> Result<Option<String>, Error> {
    let Some(checksum) = arguments.text("checksum")? else {
        return Ok(None);
    };
    let digits = checksum.strip_prefix("sha256:");
    let digits = digits
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits {
        Some(digits) => Ok(Some(digits.to_ascii_lowercase())),
        None => Err(arguments.wrong("checksum", "`sha256:` and 64 hexadecimal digits")),
    }
}

impl Made<'_> {
    /// The permissions with which it is made.
    pub(crate) fn mode(&self) -> u32 {
        let executable = if self.executable { EXECUTABLE } else { 0 };
        self.mode.unwrap_or(MODE | executable)
    }

    /// Whether the permissions of a file that is there will do.
    pub(crate) fn has_mode(&self, place: &Place) -> Result<bool, Error> {
        match self.mode {
            Some(mode) => Ok(place.mode()? == Some(mode)),
            None => Ok(!self.executable || place.is_executable()?),
        }
    }
}
