//! Owns the requirement resolver for the kind `asset`: puts a file that the host downloads into the
//! environment, and tells tests its path in an environment variable.
//! Does not know about allowed servers or the download cache, which are the host's.

mod spec;

use persea_plugin_sdk::fetch::{self, Download};
use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::target_file::{FileContent, FileKind, TargetFile, WriteRecord};

use spec::AssetSpec;

/// Number of bytes of a download that are in memory at a time: the limit of one call of the host.
const CHUNK_SIZE: u32 = 1 << 20;

/// Attributes of a fulfilled requirement, read by `release`.
const PATH: &str = "path";
const MADE: &str = "made";
const DIRECTORY: &str = "directory";

/// The requirement resolver `asset`.
#[derive(Debug)]
pub struct Asset;

impl Plugin for Asset {
    fn describe() -> Description {
        let summary = "downloads a file, and tells tests its path";
        Description::new("asset", summary).role(Role::requirement_resolver(["asset"]))
    }
}

impl RequirementResolver for Asset {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        // Never present, because only a fulfilment can set the variable.
        AssetSpec::read(request).map(|_| Presence::Absent.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
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
            return Ok(fulfilled(&spec, None));
        }
        let name = &spec.file_name;
        let _ = messages::progress(&format!("fetching {name}"));
        let download = fetch::fetch(&spec.source)?;
        let info = download.info();
        if exists {
            check_existing(&spec, info.more.text("sha256").unwrap_or_default())?;
            return Ok(fulfilled(&spec, None));
        }
        let content = FileContent {
            size: info.size,
            mode: if spec.executable { "0755" } else { "0644" }.to_owned(),
            chunks: chunks(&download, info.size),
        };
        let record = target.write(content, false)?;
        Ok(fulfilled(&spec, Some(record)))
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let Some(undo) = &request.undo else {
            return undo_unrecorded(&AssetSpec::read(&request.request)?);
        };
        let Some(path) = undo.text(PATH) else {
            return Err(Error::new("invalid", "the record of the asset has no path"));
        };
        if undo.boolean(MADE) != Some(true) {
            return Ok(());
        }
        // The file is removed even where a test changed it, because it was only there for tests.
        TargetFile::from_recorded(path).undo_write(&WriteRecord {
            created_directory: undo.text(DIRECTORY).map(str::to_owned),
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

/// Builds the result of a fulfilment.
fn fulfilled(spec: &AssetSpec, record: Option<WriteRecord>) -> FulfilledRequirement {
    let path = spec.target.path();
    let fulfilled = FulfilledRequirement::new()
        .env([(&spec.variable, path)])
        .undo(PATH, path)
        .undo(MADE, record.is_some());
    match record.and_then(|record| record.created_directory) {
        Some(directory) => fulfilled.undo(DIRECTORY, directory),
        None => fulfilled,
    }
}

/// Reads a download of `size` bytes in chunks.
fn chunks(download: &Download, size: u64) -> impl Iterator<Item = Result<Vec<u8>, Error>> + '_ {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= size {
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

export!(Asset: requirement_resolver);

#[cfg(test)]
mod tests;
