//! Owns the requirement resolver for the kind `file`: checks that a file exists and has the right
//! checksum, or creates it from a text and restores the earlier file at release.
//! Does not know how a file is written and restored: see `persea_requirement_tool::target_file`.

mod spec;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::target_file::{FileContent, FileKind, TargetFile, WriteRecord};
use persea_requirement_tool::{query, shell};

use spec::{FileSpec, NewFile};

/// Attributes of a fulfilled requirement, read by `release`: the path, the topmost created
/// directory, and whether there was an earlier file.
const PATH: &str = "path";
const DIRECTORY: &str = "directory";
const EARLIER: &str = "earlier";

/// Number of bytes that are written at a time.
const CHUNK_SIZE: usize = 1 << 20;

/// The requirement resolver `file`.
#[derive(Debug)]
pub struct File;

impl Plugin for File {
    fn describe() -> Description {
        let role = Role::requirement_resolver(["file"]);
        Description::new("file", "looks for a file, or creates it from a text")
            .role(role.with("unique-by", Value::list(["uri", "path"])))
    }
}

impl RequirementResolver for File {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        let spec = FileSpec::read(request)?;
        let kind = spec.target.kind()?;
        let presence = match &spec.new_file {
            Some(new_file) => check_created(&spec.target, new_file, kind)?,
            None => check_existing(&spec, kind).map(|()| Presence::Present)?,
        };
        Ok(presence.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let FileSpec {
            target, new_file, ..
        } = FileSpec::read(request)?;
        let Some(new_file) = new_file else {
            // Reached only where the file has disappeared since the check.
            return Err(absent(&target));
        };
        let chunks = new_file.text.as_bytes().chunks(CHUNK_SIZE);
        let content = FileContent {
            size: new_file.text.len() as u64,
            mode: format!("{:04o}", new_file.mode()),
            chunks: chunks.map(|chunk| Ok(chunk.to_vec())),
        };
        let record = target.write(content, true)?;
        let fulfilled = FulfilledRequirement::new()
            .undo(PATH, target.path())
            .undo(EARLIER, record.has_backup);
        Ok(match record.created_directory {
            Some(directory) => fulfilled.undo(DIRECTORY, directory),
            None => fulfilled,
        })
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let FileSpec {
            target, new_file, ..
        } = FileSpec::read(&request.request)?;
        let Some(new_file) = new_file else {
            return Ok(());
        };
        let Some(recorded) = &request.undo else {
            return undo_unrecorded(&target, &new_file);
        };
        let Some(path) = recorded.text(PATH) else {
            return Err(Error::new("invalid", "the record of the file has no path"));
        };
        let record = WriteRecord {
            created_directory: recorded.text(DIRECTORY).map(str::to_owned),
            has_backup: recorded.boolean(EARLIER).unwrap_or_default(),
        };
        undo(&TargetFile::from_recorded(path), &new_file, &record)
    }
}

/// Checks a file that is not to be created.
fn check_existing(spec: &FileSpec<'_>, kind: FileKind) -> Result<(), Error> {
    let target = &spec.target;
    let path = target.path();
    if kind == FileKind::Absent {
        return Err(absent(target));
    }
    if spec.executable && (kind == FileKind::Directory || !target.is_executable()?) {
        let message =
            format!("{path} exists, but is not an executable file; make it one by `chmod +x`");
        return Err(Error::new("not-permitted", message));
    }
    let Some(expected) = &spec.sha256 else {
        return Ok(());
    };
    if kind != FileKind::File {
        let message = format!("{path} is not a regular file, so it has no checksum");
        return Err(Error::new("checksum", message));
    }
    let found = target.sha256()?;
    if found == *expected {
        return Ok(());
    }
    let message = format!(
        "{path} has the checksum sha256:{found} instead of sha256:{expected}; put the right file \
         there, or correct `checksum`"
    );
    Err(Error::new("checksum", message))
}

fn absent(target: &TargetFile) -> Error {
    let path = target.path();
    let message =
        format!("the file {path} does not exist; create it, or give the requirement a `content`");
    Error::new("not-found", message)
}

/// Checks whether a file exists with the content and permissions that it would be created with.
fn check_created(
    target: &TargetFile,
    new_file: &NewFile<'_>,
    kind: FileKind,
) -> Result<Presence, Error> {
    let is_same = match kind {
        FileKind::Absent => false,
        FileKind::File => has_text(target, new_file.text)? && new_file.has_mode(target)?,
        FileKind::Directory | FileKind::Other => {
            let path = target.path();
            let message = format!(
                "cannot create {path}: it is not a regular file; remove it, or give another path"
            );
            return Err(Error::new("exists", message));
        }
    };
    target.check_creatable()?;
    Ok(match is_same {
        true => Presence::Present,
        false => Presence::Absent,
    })
}

/// Whether the content of a file is exactly a text.
fn has_text(target: &TargetFile, text: &str) -> Result<bool, Error> {
    let line = r#"[ $(wc -c < "$1") -eq "$2" ] && exec cat < "$1""#;
    let answer = query(shell(line, [target.path(), &text.len().to_string()]))?;
    Ok(answer.succeeded() && answer.stdout == text)
}

/// Undoes a write whose record is known.
fn undo(target: &TargetFile, new_file: &NewFile<'_>, record: &WriteRecord) -> Result<(), Error> {
    let (path, backup) = (target.path(), target.backup());
    if !is_own_write(target, new_file, record)? {
        let kept = match record.has_backup {
            true => format!("; the earlier file is {}", backup.path()),
            false => String::new(),
        };
        let message =
            format!("{path} was changed after it was created, so it is not removed{kept}");
        return Err(Error::new("changed", message));
    }
    if record.has_backup && backup.kind()? == FileKind::Absent {
        let message = format!(
            "{path} is not removed, because its backup {} is missing",
            backup.path()
        );
        return Err(Error::new("not-found", message));
    }
    target.undo_write(record)
}

/// Whether the file is as this plugin left it.
fn is_own_write(
    target: &TargetFile,
    new_file: &NewFile<'_>,
    record: &WriteRecord,
) -> Result<bool, Error> {
    Ok(match target.kind()? {
        FileKind::Absent => true,
        // An interrupted write may have linked the backup to the file, but not replaced the file.
        FileKind::File => {
            has_text(target, new_file.text)?
                || record.has_backup && target.is_same_as(&target.backup())?
        }
        FileKind::Directory | FileKind::Other => false,
    })
}

/// Undoes an interrupted attempt that left no record. The check before the attempt found no file,
/// or one with another content.
fn undo_unrecorded(target: &TargetFile, new_file: &NewFile<'_>) -> Result<(), Error> {
    let record = WriteRecord {
        created_directory: None,
        has_backup: target.backup().kind()? != FileKind::Absent,
    };
    if !record.has_backup && !is_own_write(target, new_file, &record)? {
        // The file was there before the attempt.
        return target.remove_temporary();
    }
    undo(target, new_file, &record)?;
    let Some(directory) = target.empty_parent()? else {
        return Ok(());
    };
    let path = target.path();
    let message = format!(
        "{path} is undone, but the empty directory {directory} may have been created for it; \
         remove it if nothing needs it"
    );
    Err(Error::new("unknown", message))
}

export!(File: requirement_resolver);

#[cfg(test)]
mod tests;
