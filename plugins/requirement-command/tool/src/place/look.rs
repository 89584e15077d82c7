//! What there is at a place, and what is known of it. Nothing here changes anything.

use persea_plugin_sdk::Error;

use super::Place;
use crate::{ask, ask_surely, shell, told};

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Absent,
    /// An ordinary file, or a link to one.
    File,
    /// A directory, or a link to one.
    Directory,
    /// A device, a pipe, a socket, a link that leads nowhere.
    Other,
}

/// What is there, and on a line of its own the topmost directory that is missing above it. The slash at the end keeps a newline in
/// a name.
const LOOK: &str = r#"
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

/// The nearest directory above that is there, if it is empty. The slash at the end keeps a newline in a name.
const EMPTY: &str = r#"
d=${1%/*}
while [ -n "$d" ] && [ ! -d "$d" ]; do
  case $d in */*) d=${d%/*} ;; *) break ;; esac
done
[ -z "$d" ] || [ -n "$(ls -A "$d")" ] || printf '%s/' "$d"
"#;

impl Place {
    /// Looks what is there.
    ///
    /// # Errors
    /// Where there is no shell to be asked.
    pub fn look(&self) -> Result<Kind, Error> {
        Ok(self.look_around()?.0)
    }

    /// And which directory above it is missing, the topmost one.
    pub(super) fn look_around(&self) -> Result<(Kind, Option<String>), Error> {
        let answer = self.ask(LOOK)?;
        let (kind, missing) = answer.split_once('\n').unwrap_or_default();
        let kind = match kind {
            "absent" => Kind::Absent,
            "file" => Kind::File,
            "directory" => Kind::Directory,
            _ => Kind::Other,
        };
        Ok((kind, path(missing)))
    }

    /// The SHA-256 of the file there, in hexadecimal digits.
    ///
    /// # Errors
    /// Where it can't be read, or the environment has no `sha256sum`.
    pub fn sha256(&self) -> Result<String, Error> {
        let answer = self.ask(r#"exec sha256sum < "$1""#)?;
        let digits = answer.split_whitespace().next();
        Ok(digits.unwrap_or_default().to_owned())
    }

    /// The permissions of the file there; none where they can't be told.
    ///
    /// # Errors
    /// Where it can't be looked at.
    pub fn mode(&self) -> Result<Option<u32>, Error> {
        Ok(mode(&self.ask(r#"exec ls -ldL "$1""#)?))
    }

    /// Whether it is a file that may be executed.
    ///
    /// # Errors
    /// Where there is no shell to be asked.
    pub fn is_executable(&self) -> Result<bool, Error> {
        let line = r#"[ -f "$1" ] && [ -x "$1" ]"#;
        Ok(ask(shell(line, [self.path()]))?.is_yes())
    }

    /// Whether another place is a second name of the file there.
    ///
    /// # Errors
    /// Where there is no shell to be asked.
    pub fn is_same_as(&self, other: &Self) -> Result<bool, Error> {
        let line = r#"[ "$1" -ef "$2" ]"#;
        Ok(ask(shell(line, [self.path(), other.path()]))?.is_yes())
    }

    /// The nearest directory above that is there, if it is empty.
    ///
    /// # Errors
    /// Where it can't be looked at.
    pub fn empty_directory(&self) -> Result<Option<String>, Error> {
        Ok(path(&self.ask(EMPTY)?))
    }

    fn ask(&self, line: &str) -> Result<String, Error> {
        let answer = ask_surely(shell(line, [self.path()]));
        answer.map_err(|error| told(error, &format!("{} cannot be looked at", self.path())))
    }
}

/// A path as the lines print it.
fn path(printed: &str) -> Option<String> {
    let path = printed.strip_suffix('/');
    path.filter(|path| !path.is_empty()).map(str::to_owned)
}

/// The permissions in what `ls -l` prints, as `-rwxr-sr-x 1 root …`.
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
    fn permissions_are_read_of_what_ls_prints() {
        assert_eq!(mode("-rw-r--r-- 1 root root 0 x"), Some(0o644));
        assert_eq!(mode("-rwsr-Sr-T+1 root root 0 x"), Some(0o7744));
        assert_eq!(mode("drwxrwxrwt 1 root root 0 x"), Some(0o1777));
        assert_eq!(mode("-rw-r"), None);
    }
}
