//! Owns the questions about a target file: its kind, checksum and permissions.
//! Changes nothing in the environment.

use persea_plugin_sdk::Error;

use super::TargetFile;
use crate::{for_purpose, query, query_ok, shell};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing.
    Absent,
    /// A regular file, or a link to one.
    File,
    /// A directory, or a link to one.
    Directory,
    /// A device, a pipe, a socket, or a dangling link.
    Other,
}

/// Shell script that prints the kind of `$1` and, on the next line, its topmost missing parent
/// directory. The slash at the end protects a newline in a name: the shell would strip it.
const INSPECT: &str = r#"
if [ -d "$1" ]; then echo directory
elif [ -f "$1" ]; then echo file
elif [ -e "$1" ] || [ -L "$1" ]; then echo other
else echo absent
fi
d=${1%/*} missing=
while [ -n "$d" ] && [ ! -d "$d" ]; do
  missing=$d
  case $d in */*) d=${d%/*} ;; *) break ;; esac
done
printf '%s/' "$missing"
"#;

/// Shell script that prints the nearest existing parent directory of `$1` if it is empty. The slash
/// at the end protects a newline in a name.
const EMPTY_PARENT: &str = r#"
d=${1%/*}
while [ -n "$d" ] && [ ! -d "$d" ]; do
  case $d in */*) d=${d%/*} ;; *) break ;; esac
done
[ -z "$d" ] || [ -n "$(ls -A "$d")" ] || printf '%s/' "$d"
"#;

impl TargetFile {
    /// Returns what is at the path.
    ///
    /// # Errors
    /// Where the environment has no shell.
    pub fn kind(&self) -> Result<FileKind, Error> {
        Ok(self.inspect()?.0)
    }

    /// Returns what is at the path, and its topmost missing parent directory.
    pub(super) fn inspect(&self) -> Result<(FileKind, Option<String>), Error> {
        let answer = self.run_query(INSPECT)?;
        let (kind, missing) = answer.split_once('\n').unwrap_or_default();
        let kind = match kind {
            "absent" => FileKind::Absent,
            "file" => FileKind::File,
            "directory" => FileKind::Directory,
            _ => FileKind::Other,
        };
        Ok((kind, path(missing)))
    }

    /// Returns the SHA-256 of the file, in hexadecimal digits.
    ///
    /// # Errors
    /// Where the file cannot be read, or the environment has no `sha256sum`.
    pub fn sha256(&self) -> Result<String, Error> {
        let answer = self.run_query(r#"exec sha256sum < "$1""#)?;
        let digits = answer.split_whitespace().next();
        Ok(digits.unwrap_or_default().to_owned())
    }

    /// Returns the permissions of the file, or `None` where the output of `ls` is not understood.
    ///
    /// # Errors
    /// Where the file cannot be inspected.
    pub fn mode(&self) -> Result<Option<u32>, Error> {
        Ok(mode(&self.run_query(r#"exec ls -ldL "$1""#)?))
    }

    /// Whether the path is an executable file.
    ///
    /// # Errors
    /// Where the environment has no shell.
    pub fn is_executable(&self) -> Result<bool, Error> {
        let line = r#"[ -f "$1" ] && [ -x "$1" ]"#;
        Ok(query(shell(line, [self.path()]))?.succeeded())
    }

    /// Whether another path is a hard link to the same file.
    ///
    /// # Errors
    /// Where the environment has no shell.
    pub fn is_same_as(&self, other: &Self) -> Result<bool, Error> {
        let line = r#"[ "$1" -ef "$2" ]"#;
        Ok(query(shell(line, [self.path(), other.path()]))?.succeeded())
    }

    /// Returns the nearest existing parent directory if it is empty.
    ///
    /// # Errors
    /// Where the directory cannot be inspected.
    pub fn empty_parent(&self) -> Result<Option<String>, Error> {
        Ok(path(&self.run_query(EMPTY_PARENT)?))
    }

    fn run_query(&self, script: &str) -> Result<String, Error> {
        let answer = query_ok(shell(script, [self.path()]));
        answer.map_err(|error| for_purpose(error, &format!("cannot inspect {}", self.path())))
    }
}

/// Parses a path that a script printed.
fn path(printed: &str) -> Option<String> {
    let path = printed.strip_suffix('/');
    path.filter(|path| !path.is_empty()).map(str::to_owned)
}

/// Parses the permissions in the output of `ls -l`, such as `-rwxr-sr-x 1 root …`.
fn mode(printed: &str) -> Option<u32> {
    let letters: Vec<char> = printed.chars().skip(1).take(9).collect();
    let mut mode = 0;
    for letter in &letters {
        mode = mode << 1 | u32::from(!matches!(letter, '-' | 'S' | 'T'));
    }
    let special = [(2, 0o4000), (5, 0o2000), (8, 0o1000)];
    for (index, bit) in special {
        if matches!(letters.get(index), Some('s' | 'S' | 't' | 'T')) {
            mode |= bit;
        }
    }
    (letters.len() == 9).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn permissions_are_parsed_from_ls() {
        assert_eq!(mode("-rw-r--r-- 1 root root 0 x"), Some(0o644));
        assert_eq!(mode("-rwsr-Sr-T+1 root root 0 x"), Some(0o7744));
        assert_eq!(mode("drwxrwxrwt 1 root root 0 x"), Some(0o1777));
        assert_eq!(mode("-rw-r"), None);
    }
}
