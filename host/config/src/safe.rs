//! Owns whose project files are used: those of this user and of root, and those in directories that
//! the user has listed, like git's `safe.directory`. Does not know about what the files hold.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Config, UserDirs, settings};
use persea_system::bounded_read;

/// A project file that is not used, because it belongs to another user.
#[derive(Clone, Debug)]
pub struct Foreign {
    path: PathBuf,
    /// The user id of the file's owner.
    owner: u32,
    /// The user id of this process.
    user: u32,
    /// The absolute path of the directory to add to the list.
    directory: PathBuf,
    /// The present list of `project.safe_directories`.
    listed: Vec<String>,
    /// The configuration file for the list.
    config: PathBuf,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            owner,
            user,
            directory,
            listed,
            config,
        } = self;
        let directory = directory.to_string_lossy();
        let all: Vec<&str> = listed.iter().map(String::as_str).collect();
        let setting = settings::PROJECT_SAFE_DIRECTORIES;
        let list = serde_json::json!([&all[..], &[&*directory]].concat());
        write!(
            f,
            "{} is not used, because it belongs to user {owner} and you are user {user}; \
             to allow it, put `{setting} = {list}` into {}",
            path.display(),
            config.display()
        )
    }
}

/// Why a project file was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// It belongs to another user.
    Foreign(Box<Foreign>),
    /// It cannot be read.
    Io(io::Error),
}

/// The rule for whose project files are used.
#[derive(Clone, Debug)]
pub struct SafeDirectories {
    user: u32,
    /// The user who called `sudo`, if this process is root because of that.
    caller: Option<u32>,
    listed: Vec<String>,
    home: PathBuf,
    config: PathBuf,
}

impl SafeDirectories {
    /// Reads the list from the configuration. A project cannot add to it.
    pub fn new(config: &Config, dirs: &UserDirs) -> Self {
        let user = rustix::process::geteuid().as_raw();
        let caller = std::env::var("SUDO_UID").ok();
        Self {
            user,
            caller: caller.filter(|_| user == 0).and_then(|id| id.parse().ok()),
            listed: config.get(settings::PROJECT_SAFE_DIRECTORIES),
            home: dirs.home.clone(),
            config: dirs.config.join("config.toml"),
        }
    }

    /// Opens a project file for reading, if it may be used.
    ///
    /// # Errors
    /// The file cannot be opened, is no ordinary file, or belongs to another user.
    pub fn open(&self, path: &Path) -> Result<File, OpenError> {
        let file = bounded_read::open(path).map_err(OpenError::Io)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = parent.canonicalize().map_err(OpenError::Io)?;
        // The owner of a link chooses its target, and the owner of the directory can replace the
        // file.
        let owners = [
            file.metadata(),
            path.symlink_metadata(),
            directory.metadata(),
        ];
        for owner in owners {
            let owner = owner.map_err(OpenError::Io)?.uid();
            if !self.is_trusted(owner) && !self.is_listed(&directory) {
                return Err(OpenError::Foreign(Box::new(Foreign {
                    path: path.to_path_buf(),
                    owner,
                    user: self.user,
                    directory,
                    listed: self.listed.clone(),
                    config: self.config.clone(),
                })));
            }
        }
        Ok(file)
    }

    /// Whether a user's files are used in any directory. Root's are: root can write to the system's
    /// configuration in any case.
    fn is_trusted(&self, owner: u32) -> bool {
        owner == 0 || owner == self.user || Some(owner) == self.caller
    }

    fn is_listed(&self, directory: &Path) -> bool {
        let holds = |listed: &String| {
            let listed = listed.strip_suffix("/*").unwrap_or(listed);
            let listed = match listed.strip_prefix("~/") {
                Some(below) => self.home.join(below),
                None => PathBuf::from(listed),
            };
            // A relative path would mean another directory in each project.
            let real = listed.is_absolute().then(|| listed.canonicalize().ok());
            real.flatten()
                .is_some_and(|listed| directory.starts_with(listed))
        };
        self.listed
            .iter()
            .any(|listed| listed == "*" || holds(listed))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn safe(listed: &[&str], user: u32, caller: Option<u32>) -> SafeDirectories {
        SafeDirectories {
            user,
            caller,
            listed: listed.iter().map(|&text| text.to_owned()).collect(),
            home: "/".into(),
            config: "/etc/config.toml".into(),
        }
    }

    #[test]
    fn own_user_root_and_caller_of_sudo_are_trusted() {
        assert!(safe(&[], 7, None).is_trusted(7));
        assert!(safe(&[], 7, None).is_trusted(0));
        assert!(!safe(&[], 7, None).is_trusted(8));
        assert!(!safe(&[], 0, None).is_trusted(8));
        assert!(safe(&[], 0, Some(8)).is_trusted(8));
    }

    #[test]
    fn listed_directory_includes_all_below_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let below = root.join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        let path = |name: &str| root.join(name).to_string_lossy().into_owned();
        let from_home = format!("~{}", path("a"));
        for listed in [
            &*path("a"),
            &path("a/*"),
            &path("link"),
            &path("a/b"),
            &from_home,
            "*",
        ] {
            assert!(safe(&[listed], 0, None).is_listed(&below), "{listed}");
        }
        for listed in [&*path("a/b/c"), "", ".", "a", &path("a/b*")] {
            assert!(!safe(&[listed], 0, None).is_listed(&below), "{listed}");
        }
    }
}
