//! Owns reading and checking the arguments of a requirement of kind `asset`, which are Avocado's
//! and some more. Does not know about the environment.
//!
//! Differences from Avocado 113.0 (`avocado/utils/asset.py`): a location of any scheme that ends in
//! `/` is a directory, to which the name is appended; the algorithm follows from the length of the
//! hash; the query of a URL is not part of the file's name.

use persea_plugin_sdk::fetch::Source;
use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::{Arguments, is_variable};
use persea_requirement_tool::target_file::TargetFile;
use std::time::Duration;

const KNOWN: [&str; 9] = [
    "name",
    "locations",
    "asset_hash",
    "algorithm",
    "expire",
    "checksum",
    "path",
    "executable",
    "env",
];

/// Name of the directory of assets below the job's temporary directory.
const ASSETS: &str = "assets";

/// Arguments of a requirement of kind `asset`.
#[derive(Debug)]
pub(crate) struct AssetSpec {
    pub(crate) source: Source,
    pub(crate) file_name: String,
    pub(crate) target: TargetFile,
    /// The job's directory of assets, where the file is in that directory.
    pub(crate) own_directory: Option<String>,
    pub(crate) executable: bool,
    /// Environment variable that tells tests the path of the file.
    pub(crate) variable: String,
}

impl AssetSpec {
    pub(crate) fn read(request: &RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &KNOWN)?;
        let Some(name) = arguments.uri_or("name")? else {
            return Err(arguments.invalid("it needs a `name`: a URL, or the name of a file"));
        };
        let Some(file_name) = file_name(name) else {
            let message = format!("{name:?} does not end in the name of a file");
            return Err(arguments.invalid(message));
        };
        let mut source = Source::new(locations(&arguments, name, file_name)?);
        if let Some(checksum) = checksum(&arguments)? {
            source = source.checksum(checksum);
        }
        if let Some(age) = expire(&arguments)? {
            source = source.with("max-age", age);
        }
        let (path, own_directory) = match (arguments.text("path")?, request.job_temp_dir()) {
            (Some(path), _) => (path.to_owned(), None),
            (None, Some(directory)) => {
                let directory = format!("{directory}/{ASSETS}");
                (format!("{directory}/{file_name}"), Some(directory))
            }
            (None, None) => {
                return Err(arguments.invalid("it needs a `path` in this environment"));
            }
        };
        Ok(Self {
            source,
            target: TargetFile::new(request, &path)?,
            own_directory,
            executable: arguments.flag("executable")?,
            variable: variable(&arguments, file_name)?,
            file_name: file_name.to_owned(),
        })
    }

    /// The SHA-256 that the file must have, where the requirement gives one.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.source.checksum.as_deref()?.strip_prefix("sha256:")
    }
}

/// Returns the last part of a path, or of the path of a URL.
fn file_name(name: &str) -> Option<&str> {
    let path = match name.split_once("://") {
        Some((_, rest)) => {
            let path = rest.split(['?', '#']).next()?;
            path.split_once('/')?.1
        }
        None => name,
    };
    let last = path.rsplit('/').next()?;
    (!matches!(last, "" | "." | "..")).then_some(last)
}

/// Returns the locations to try, in order: the name where it is a URL, then the argument
/// `locations`. A name that is the only location is a path.
fn locations(arguments: &Arguments<'_>, name: &str, file_name: &str) -> Result<Vec<String>, Error> {
    let given = arguments.texts("locations")?;
    let is_location = name.contains("://") || given.is_empty();
    let first = is_location.then(|| name.to_owned());
    let others = given
        .into_iter()
        .map(|location| match location.ends_with('/') {
            true => format!("{location}{file_name}"),
            false => location,
        });
    Ok(first.into_iter().chain(others).map(location).collect())
}

/// Converts an absolute path to a URL, because the host takes paths only as relative to the
/// project.
fn location(location: String) -> String {
    if !location.starts_with('/') {
        return location;
    }
    let mut url = "file://".to_owned();
    for letter in location.chars() {
        match letter {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            _ => url.push(letter),
        }
    }
    url
}

/// Returns the checksum in the host's form: an algorithm, a colon and hexadecimal digits.
fn checksum(arguments: &Arguments<'_>) -> Result<Option<String>, Error> {
    let algorithm = arguments.text("algorithm")?;
    let digits = match (arguments.text("checksum")?, arguments.text("asset_hash")?) {
        (Some(_), Some(_)) => {
            let message = "it has a `checksum` and an `asset_hash`; give only one of them";
            return Err(arguments.invalid(message));
        }
        (Some(checksum), None) => return Ok(Some(checksum.to_ascii_lowercase())),
        (None, Some(digits)) => digits.to_ascii_lowercase(),
        (None, None) => return Ok(None),
    };
    let by_length = match digits.len() {
        40 => "sha1",
        64 => "sha256",
        128 => "sha512",
        _ => {
            let message = "the hexadecimal digits of a SHA-1, SHA-256 or SHA-512";
            return Err(arguments.wrong("asset_hash", message));
        }
    };
    match algorithm {
        Some(algorithm) if algorithm != by_length => {
            let message = format!(
                "its `algorithm` is {algorithm}, but its `asset_hash` has the length of a \
                 {by_length}; supported are sha1, sha256 and sha512"
            );
            Err(arguments.invalid(message))
        }
        _ => Ok(Some(format!("{by_length}:{digits}"))),
    }
}

/// Returns the longest age of a cached file.
fn expire(arguments: &Arguments<'_>) -> Result<Option<Duration>, Error> {
    let seconds = match arguments.value("expire") {
        None => return Ok(None),
        Some(Value::Integer(seconds)) => Some(*seconds),
        Some(Value::Text(text)) => seconds(text),
        Some(_) => None,
    };
    match seconds.map(u64::try_from) {
        Some(Ok(seconds)) => Ok(Some(Duration::from_secs(seconds))),
        Some(Err(_)) | None => {
            Err(arguments.wrong("expire", "seconds, or a text such as 30s, 5m, 12h or 10d"))
        }
    }
}

fn seconds(text: &str) -> Option<i64> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
    let lower = text.to_ascii_lowercase();
    let unit = units.iter().find_map(|(letter, seconds)| {
        let digits = lower.strip_suffix(*letter)?;
        Some((digits, *seconds))
    });
    let (digits, unit) = unit.unwrap_or((&lower, 1));
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

fn variable(arguments: &Arguments<'_>, file_name: &str) -> Result<String, Error> {
    match arguments.text("env")? {
        Some(name) if is_variable(name) => Ok(name.to_owned()),
        Some(_) => Err(arguments.wrong("env", "the name of an environment variable")),
        None => {
            let letters = file_name.chars().map(|letter| match letter {
                letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
                _ => '_',
            });
            Ok("PERSEA_ASSET_".chars().chain(letters).collect())
        }
    }
}
