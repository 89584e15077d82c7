//! Owns writing a file into an environment in such a way that the former state can be restored.
//! The content is written to a temporary file, which is then renamed. A file that was there before
//! is kept as a backup beside the new one. Missing directories are created and recorded.
//! Does not know what the file is for.
//!
//! Every path is an argument of the shell script and begins with `/` or `./`, so that no program
//! takes a name for an option.

mod inspect;

pub use inspect::FileKind;

use persea_plugin_sdk::{Error, RequirementRequest};

use crate::{execute, execute_with_input, for_purpose, shell};

/// A path in the environment at which a file is expected or written.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetFile {
    path: String,
}

/// What [`TargetFile::write`] changed, for [`TargetFile::undo_write`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteRecord {
    /// Topmost of the directories that were created for the file.
    pub created_directory: Option<String>,
    /// Whether a file was there before, of which a backup was made.
    pub has_backup: bool,
}

/// Content of a file to be written.
#[derive(Debug)]
pub struct FileContent<P> {
    /// Size in bytes. The file is not renamed to its final name where fewer bytes arrive.
    pub size: u64,
    /// Permissions, in octal digits.
    pub mode: String,
    /// Chunks of bytes.
    pub chunks: P,
}

/// Shell functions that [`WRITE`] and [`REMOVE`] share. `$p` is the file, `$t` the temporary file,
/// `$b` the backup, `$made` the topmost directory that was created.
const SHARED: &str = r#"
p=$1 t=$2 b=$3 made=$4
tidy() {
  [ -n "$made" ] || return 0
  d=${p%/*}
  while [ -n "$d" ]; do
    [ ! -d "$d" ] || rmdir "$d" 2>/dev/null || break
    [ "$d" != "$made" ] || break
    d=${d%/*}
  done
}
restore() {
  if [ "$p" -ef "$b" ]; then rm -f "$b"; else mv -f "$b" "$p"; fi
}
"#;

/// Shell script that writes the file. The backup is a hard link where the file system has these, so
/// that there is a file at the path at any time.
const WRITE: &str = r#"
mode=$5 size=$6 keep=$7
fail() { rm -f "$t"; tidy; exit 1; }
say() { echo "$1" >&2; fail; }
[ -z "$made" ] || mkdir -p "${p%/*}" || fail
rm -f "$t" || fail
(umask 077; set -C; cat > "$t") || fail
[ $(wc -c < "$t") -eq "$size" ] || say "the input ended early"
chmod "$mode" "$t" || fail
if [ -n "$keep" ]; then
  ln -P "$p" "$b" 2>/dev/null || mv "$p" "$b" || fail
  mv -f "$t" "$p" || { restore; fail; }
else
  [ ! -e "$p" ] && [ ! -L "$p" ] || say "a file has appeared there meanwhile"
  mv -f "$t" "$p" || fail
fi
"#;

/// Shell script that undoes [`WRITE`]. `$5` says how much: `backup` restores the backup, `partial`
/// restores it if there is one, `file` removes the file. The temporary file is always removed.
const REMOVE: &str = r#"
case $5 in
backup) restore ;;
partial) if [ -e "$b" ] || [ -L "$b" ]; then restore; fi ;;
file) rm -f "$p" ;;
esac || exit 1
rm -f "$t"
tidy
"#;

impl TargetFile {
    /// Creates a target file from a path. A relative path is in the project's directory.
    ///
    /// # Errors
    /// `invalid` where no file can have this path.
    pub fn new(request: &RequirementRequest, path: &str) -> Result<Self, Error> {
        if path.is_empty() || path.contains('\0') {
            let message = format!("{path:?} is not a valid path");
            return Err(Error::new("invalid", message));
        }
        let project = request.more.text("project-dir").unwrap_or(".");
        Ok(Self {
            path: match path.starts_with('/') {
                true => path.to_owned(),
                false => format!("{project}/{path}"),
            },
        })
    }

    /// Creates a target file from a path that [`TargetFile::path`] returned earlier.
    pub fn from_recorded(path: &str) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The path in the environment.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Path of the backup.
    pub fn backup(&self) -> Self {
        self.hidden_sibling("persea-before")
    }

    /// Path of the temporary file.
    pub fn temporary(&self) -> Self {
        self.hidden_sibling("persea-new")
    }

    /// Path of a hidden file in the same directory: many programs that read a whole directory
    /// ignore hidden files.
    fn hidden_sibling(&self, suffix: &str) -> Self {
        let (directory, name) = self.path.rsplit_once('/').unwrap_or((".", &self.path));
        Self {
            path: format!("{directory}/.{name}.{suffix}"),
        }
    }

    /// Checks that a file can have this path and that its parent directories are known by name.
    ///
    /// # Errors
    /// `invalid` where the path has a `..` or names a directory.
    pub fn check_creatable(&self) -> Result<(), Error> {
        let mut parts = self.path.split('/').skip(1);
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let message = match () {
            () if parts.any(|part| part == "..") => "give a path without `..`",
            () if matches!(name, "" | ".") => "the path names a directory",
            () => return Ok(()),
        };
        let message = format!("cannot create {}: {message}", self.path);
        Err(Error::new("invalid", message))
    }

    /// Writes the file. With `replace`, a file that is there is kept as a backup; without it, such
    /// a file is an error.
    ///
    /// # Errors
    /// `exists` where something is in the way, or the error of the write. The environment is
    /// unchanged then.
    pub fn write<P>(&self, content: FileContent<P>, replace: bool) -> Result<WriteRecord, Error>
    where
        P: IntoIterator<Item = Result<Vec<u8>, Error>>,
    {
        self.check_creatable()?;
        let (kind, created_directory) = self.inspect()?;
        let has_backup = match kind {
            FileKind::Absent => false,
            FileKind::File if replace => true,
            FileKind::File => return Err(self.exists("a file is there already")),
            FileKind::Directory => return Err(self.exists("a directory is there")),
            FileKind::Other => return Err(self.exists("it is not a regular file")),
        };
        let backup = self.backup();
        if has_backup && backup.kind()? != FileKind::Absent {
            let (path, backup) = (&self.path, backup.path);
            let message = format!(
                "cannot create {path}: {backup} is a backup that an earlier job did not restore; \
                 move it to {path}, or remove it"
            );
            return Err(Error::new("exists", message));
        }
        let arguments = [
            self.path.as_str(),
            &self.temporary().path,
            &backup.path,
            created_directory.as_deref().unwrap_or_default(),
            &content.mode,
            &content.size.to_string(),
            if has_backup { "keep" } else { "" },
        ];
        let command = shell(format!("{SHARED}{WRITE}"), arguments);
        let written = execute_with_input(command, content.chunks);
        if let Err(error) = written {
            // The script undoes a failed write itself, unless it was killed.
            let extent = if has_backup { "partial" } else { "temporary" };
            let _ = self.remove(extent, created_directory.as_deref());
            return Err(for_purpose(error, &format!("cannot create {}", self.path)));
        }
        Ok(WriteRecord {
            created_directory,
            has_backup,
        })
    }

    fn exists(&self, what: &str) -> Error {
        let message = format!("cannot create {}: {what}", self.path);
        Error::new("exists", message)
    }

    /// Restores the backup, or removes the file where there was none before, and removes the
    /// directories that were created for it as far as they are empty. A file or directory that is
    /// already gone is not an error.
    ///
    /// # Errors
    /// Where the environment refuses the change.
    pub fn undo_write(&self, record: &WriteRecord) -> Result<(), Error> {
        let extent = if record.has_backup { "backup" } else { "file" };
        self.remove(extent, record.created_directory.as_deref())
    }

    /// Removes the temporary file of an interrupted attempt.
    ///
    /// # Errors
    /// Where the environment refuses the change.
    pub fn remove_temporary(&self) -> Result<(), Error> {
        self.remove("temporary", None)
    }

    /// Runs [`REMOVE`].
    fn remove(&self, extent: &str, created_directory: Option<&str>) -> Result<(), Error> {
        let arguments = [
            self.path.as_str(),
            &self.temporary().path,
            &self.backup().path,
            created_directory.unwrap_or_default(),
            extent,
        ];
        let command = shell(format!("{SHARED}{REMOVE}"), arguments);
        execute(command)
            .map_err(|error| for_purpose(error, &format!("cannot remove {}", self.path)))
    }
}

#[cfg(test)]
mod tests;
