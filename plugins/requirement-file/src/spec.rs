//! Owns reading and checking the arguments of a requirement of kind `file`.
//! Does not know about the environment.

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;
use persea_requirement_tool::target_file::TargetFile;

const KNOWN: [&str; 5] = ["path", "checksum", "executable", "content", "mode"];

/// Permissions of a created file without the argument `mode`.
const DEFAULT_MODE: u32 = 0o644;
const EXECUTABLE: u32 = 0o111;

/// Arguments of a requirement of kind `file`.
#[derive(Debug)]
pub(crate) struct FileSpec<'a> {
    pub(crate) target: TargetFile,
    pub(crate) sha256: Option<String>,
    pub(crate) executable: bool,
    /// How to create the file, where it has a `content`.
    pub(crate) new_file: Option<NewFile<'a>>,
}

/// A file that is created where it is missing.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    pub(crate) text: &'a str,
    mode: Option<u32>,
    executable: bool,
}

impl<'a> FileSpec<'a> {
    pub(crate) fn read(request: &'a RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let Some(path) = arguments.uri_or("path")? else {
            return Err(arguments.invalid("it needs a `uri` or `path`: the file"));
        };
        let executable = arguments.flag("executable")?;
        let new_file = new_file(&arguments, executable)?;
        let sha256 = sha256(&arguments)?;
        if new_file.is_some() && sha256.is_some() {
            let message = "it has a `content` and a `checksum`; give only one of them";
            return Err(arguments.invalid(message));
        }
        Ok(Self {
            target: TargetFile::new(request, path)?,
            sha256,
            executable,
            new_file,
        })
    }
}

fn new_file<'a>(arguments: &Arguments<'a>, executable: bool) -> Result<Option<NewFile<'a>>, Error> {
    let mode = match arguments.text("mode")? {
        None => None,
        Some(digits) => Some(mode(arguments, digits)?),
    };
    let text = match arguments.value("content") {
        None if mode.is_some() => {
            let message = "it has a `mode`, but no `content` to create the file with";
            return Err(arguments.invalid(message));
        }
        None => return Ok(None),
        Some(Value::Text(text)) => text,
        Some(_) => return Err(arguments.wrong("content", "a text")),
    };
    if executable && mode.is_some_and(|mode| mode & EXECUTABLE == 0) {
        let message = "it is `executable`, which its `mode` does not allow";
        return Err(arguments.invalid(message));
    }
    Ok(Some(NewFile {
        text,
        mode,
        executable,
    }))
}

fn mode(arguments: &Arguments<'_>, digits: &str) -> Result<u32, Error> {
    let octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok();
    let mode = mode.filter(|mode| octal && (3..=4).contains(&digits.len()) && *mode <= 0o7777);
    mode.ok_or_else(|| {
        arguments.wrong(
            "mode",
            "three or four octal digits as a text, such as \"0644\"",
        )
    })
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

impl NewFile<'_> {
    /// Permissions with which the file is created.
    pub(crate) fn mode(&self) -> u32 {
        let executable = if self.executable { EXECUTABLE } else { 0 };
        self.mode.unwrap_or(DEFAULT_MODE | executable)
    }

    /// Whether an existing file has sufficient permissions.
    pub(crate) fn has_mode(&self, target: &TargetFile) -> Result<bool, Error> {
        match self.mode {
            Some(mode) => Ok(target.mode()? == Some(mode)),
            None => Ok(!self.executable || target.is_executable()?),
        }
    }
}
