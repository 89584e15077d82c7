//! How a resolver puts a file into an environment so that it can be taken away again as if it had never been there: written aside and
//! renamed, an earlier file kept beside it, directories that were missing made and noted. It must not know what is in the file.
//!
//! Every path reaches the shell as an argument and begins with `/` or `./`, so that no name is taken for an option.

mod look;

pub use look::Kind;

use persea_plugin_sdk::{Error, Request};

use crate::{act, act_on, shell, told};

/// A path in the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    path: String,
}

/// What it took to put a file at its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placed {
    /// The topmost of the directories that were made for it.
    pub directory: Option<String>,
    /// Whether an earlier file was kept beside it.
    pub earlier: bool,
}

/// A file to be written.
#[derive(Debug)]
pub struct Content<P> {
    /// How long it is, in bytes: one that was cut off is not put at its place.
    pub size: u64,
    /// Its permissions, in octal digits.
    pub mode: String,
    /// Its bytes.
    pub pieces: P,
}

/// What writing and removing share. $p is the file, $t the one that is written aside, $b the earlier one, $made the topmost
/// directory that was made.
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

/// The earlier file is kept by a second name where there can be one, so that there is no moment without a file.
const WRITE: &str = r#"
mode=$5 size=$6 keep=$7
fail() { rm -f "$t"; tidy; exit 1; }
say() { echo "$1" >&2; fail; }
[ -z "$made" ] || mkdir -p "${p%/*}" || fail
rm -f "$t" || fail
(umask 077; set -C; cat > "$t") || fail
[ $(wc -c < "$t") -eq "$size" ] || say "it was cut off"
chmod "$mode" "$t" || fail
if [ -n "$keep" ]; then
  ln -P "$p" "$b" 2>/dev/null || mv "$p" "$b" || fail
  mv -f "$t" "$p" || { restore; fail; }
else
  [ ! -e "$p" ] && [ ! -L "$p" ] || say "another has appeared there just now"
  mv -f "$t" "$p" || fail
fi
"#;

const REMOVE: &str = r#"
case $5 in
earlier) restore ;;
half) if [ -e "$b" ] || [ -L "$b" ]; then restore; fi ;;
file) rm -f "$p" ;;
esac || exit 1
rm -f "$t"
tidy
"#;

impl Place {
    /// A path; a relative one is in the project's directory, where processes start.
    ///
    /// # Errors
    /// `invalid` where no file can have it.
    pub fn new(request: &Request, path: &str) -> Result<Self, Error> {
        if path.is_empty() || path.contains('\0') {
            let message = format!("{path:?} is no path");
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

    /// One that was noted down.
    pub fn noted(path: &str) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the earlier file is kept.
    pub fn earlier(&self) -> Self {
        self.beside("persea-before")
    }

    /// Where the file is written before it gets its name.
    pub fn aside(&self) -> Self {
        self.beside("persea-new")
    }

    /// Many programs that read a whole directory pass over hidden files.
    fn beside(&self, end: &str) -> Self {
        let (directory, name) = self.path.rsplit_once('/').unwrap_or((".", &self.path));
        Self {
            path: format!("{directory}/.{name}.{end}"),
        }
    }

    /// Whether a file can be made there and the directories above it be told.
    ///
    /// # Errors
    /// `invalid` where that's not so.
    pub fn can_be_made(&self) -> Result<(), Error> {
        let mut parts = self.path.split('/').skip(1);
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let message = match () {
            () if parts.any(|part| part == "..") => "give a path without `..`",
            () if matches!(name, "" | ".") => "it names a directory",
            () => return Ok(()),
        };
        let message = format!("no file can be made at {}: {message}", self.path);
        Err(Error::new("invalid", message))
    }

    /// Writes a file there. An earlier one is kept, if that's wanted, or else an error.
    ///
    /// # Errors
    /// Nothing has been changed then.
    pub fn write<P>(&self, content: Content<P>, keep_earlier: bool) -> Result<Placed, Error>
    where
        P: IntoIterator<Item = Result<Vec<u8>, Error>>,
    {
        self.can_be_made()?;
        let (kind, directory) = self.look_around()?;
        let earlier = match kind {
            Kind::Absent => false,
            Kind::File if keep_earlier => true,
            Kind::File => return Err(self.exists("a file is there already")),
            Kind::Directory => return Err(self.exists("a directory is there")),
            Kind::Other => return Err(self.exists("there is something that is no ordinary file")),
        };
        let kept = self.earlier();
        if earlier && kept.look()? != Kind::Absent {
            let (path, kept) = (&self.path, kept.path);
            let message = format!(
                "{path} cannot be made: {kept} is the earlier file of a job that did not put it back; move it to {path}, or remove it"
            );
            return Err(Error::new("exists", message));
        }
        let arguments = [
            self.path.as_str(),
            &self.aside().path,
            &kept.path,
            directory.as_deref().unwrap_or_default(),
            &content.mode,
            &content.size.to_string(),
            if earlier { "keep" } else { "" },
        ];
        let command = shell(format!("{SHARED}{WRITE}"), arguments);
        let written = act_on(command, content.pieces);
        if let Err(error) = written {
            // The lines have undone what they did, unless they were ended before their end.
            let what = if earlier { "half" } else { "aside" };
            let _ = self.end(what, directory.as_deref());
            return Err(told(error, &format!("{} cannot be made", self.path)));
        }
        Ok(Placed { directory, earlier })
    }

    fn exists(&self, what: &str) -> Error {
        let message = format!("{} cannot be made: {what}", self.path);
        Error::new("exists", message)
    }

    /// Takes the file away, or puts the earlier one back, and removes the directories that were made for it where they are empty.
    /// What is gone already is no error.
    ///
    /// # Errors
    /// Where that fails.
    pub fn clear(&self, placed: &Placed) -> Result<(), Error> {
        let what = if placed.earlier { "earlier" } else { "file" };
        self.end(what, placed.directory.as_deref())
    }

    /// Removes what was written aside by an attempt that did not come to its end.
    ///
    /// # Errors
    /// Where that fails.
    pub fn clear_aside(&self) -> Result<(), Error> {
        self.end("aside", None)
    }

    fn end(&self, what: &str, directory: Option<&str>) -> Result<(), Error> {
        let arguments = [
            self.path.as_str(),
            &self.aside().path,
            &self.earlier().path,
            directory.unwrap_or_default(),
            what,
        ];
        let command = shell(format!("{SHARED}{REMOVE}"), arguments);
        act(command).map_err(|error| told(error, &format!("{} cannot be removed", self.path)))
    }
}

#[cfg(test)]
mod tests;
