//! Owns the requirement resolver for the kind `asset`: puts a file that the host downloads into the
//! environment, and tells tests its path in an environment variable.
//! Does not know about allowed servers or the download cache, which are the host's.

mod spec;

use persea_plugin_sdk::fetch::{self, Download};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;
use persea_requirement_tool::target_file::{FileContent, FileKind, TargetFile, WriteRecord};

use spec::AssetSpec;

/// Number of bytes of a download that are in memory at a time: the limit of one call of the host.
const CHUNK_SIZE: u32 = 1 << 20;

/// Attributes of a fulfilled requirement: `env` is read by the host, the others by `release`.
const ENV: &str = "env";
const PATH: &str = "path";
const MADE: &str = "made";
const DIRECTORY: &str = "directory";

/// The requirement resolver `asset`.
#[derive(Debug)]
pub struct Asset;

impl RequirementResolver for Asset {
    fn describe() -> Description {
        let summary = "downloads a file, and tells tests its path";
        Description::new("asset", summary).kinds(["asset"])
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        // Never present, because only a fulfilment can set the variable.
        AssetSpec::read(request).map(|_| Presence::Absent)
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let spec = AssetSpec::read(request)?;
        let target = &spec.target;
        target.check_creatable()?;
        let exists = match target.kind()? {
            FileKind::Absent => false,
            FileKind::File => true,
            FileKind::Directory | FileKind::Other => {
                return Err(in_the_way(target, "it is not a regular file"));
            }
        };
        if exists && let Some(sha256) = spec.sha256() {
            check_existing(&spec, sha256)?;
            return Ok(attributes(&spec, None));
        }
        let name = &spec.file_name;
        let _ = status::progress(&format!("fetching {name}"));
        let download = fetch::fetch(&spec.source)?;
        if exists {
            check_existing(&spec, download.more.text("sha256").unwrap_or_default())?;
            return Ok(attributes(&spec, None));
        }
        let content = FileContent {
            size: download.size,
            mode: if spec.executable { "0755" } else { "0644" }.to_owned(),
            chunks: chunks(&download),
        };
        let record = target.write(content, false)?;
        Ok(attributes(&spec, Some(record)))
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let Some(path) = fulfilled.text(PATH) else {
            return undo_unrecorded(&AssetSpec::read(request)?);
        };
        if fulfilled.boolean(MADE) != Some(true) {
            return Ok(());
        }
        // The file is removed even where a test changed it, because it was only there for tests.
        TargetFile::from_recorded(path).undo_write(&WriteRecord {
            created_directory: fulfilled.text(DIRECTORY).map(str::to_owned),
            has_backup: false,
        })
    }
}

/// Checks that an existing file is the one that would be written.
fn check_existing(spec: &AssetSpec, sha256: &str) -> Result<(), Error> {
    if spec.target.sha256()? != sha256 {
        return Err(in_the_way(&spec.target, "a different file is there"));
    }
    if spec.executable && !spec.target.is_executable()? {
        return Err(in_the_way(&spec.target, "the file there is not executable"));
    }
    Ok(())
}

fn in_the_way(target: &TargetFile, why: &str) -> Error {
    let path = target.path();
    let message =
        format!("cannot put the asset at {path}: {why}; remove it, or give another `path`");
    Error::new("exists", message)
}

/// Builds the attributes of the fulfilled requirement.
fn attributes(spec: &AssetSpec, record: Option<WriteRecord>) -> Attributes {
    let path = spec.target.path();
    let variables = serde_json::json!({ &spec.variable: path });
    let attributes = Attributes::new()
        .with(ENV, Value::json(variables.to_string()))
        .with(PATH, path)
        .with(MADE, record.is_some());
    match record.and_then(|record| record.created_directory) {
        Some(directory) => attributes.with(DIRECTORY, directory),
        None => attributes,
    }
}

/// Reads a download in chunks.
fn chunks(download: &Download) -> impl Iterator<Item = Result<Vec<u8>, Error>> + '_ {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= download.size {
            return None;
        }
        let chunk = download.read(offset, CHUNK_SIZE);
        if let Ok(chunk) = &chunk {
            if chunk.is_empty() {
                return None;
            }
            offset += chunk.len() as u64;
        }
        Some(chunk)
    })
}

/// Undoes an interrupted attempt that left no record, as far as that is safe.
fn undo_unrecorded(spec: &AssetSpec) -> Result<(), Error> {
    let target = &spec.target;
    if let Some(directory) = &spec.own_directory {
        // The directory is for assets only, so the file can only be the attempt's.
        return target.undo_write(&WriteRecord {
            created_directory: Some(directory.clone()),
            has_backup: false,
        });
    }
    target.remove_temporary()?;
    if target.kind()? == FileKind::Absent {
        return Ok(());
    }
    let path = target.path();
    let message =
        format!("{path} may have been created for the requirement; remove it if nothing needs it");
    Err(Error::new("unknown", message))
}

export!(requirement_resolver: Asset);

#[cfg(test)]
mod tests;
