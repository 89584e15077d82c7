//! Whose project files are followed: those of this user and of root, and those in directories that the user has listed, as git's
//! `safe.directory`. Owns that decision. Does not know about what the files hold.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Config, UserDirs, settings};
use persea_system::bounded_read;

/// A project file of another user, which is not followed.
#[derive(Clone, Debug)]
pub struct Foreign {
    path: PathBuf,
    /// The user ids of its owner and of this process.
    owner: u32,
    user: u32,
    /// The directory to list, absolute.
    directory: PathBuf,
    /// What is listed already.
    listed: Vec<String>,
    /// The configuration file in which the list goes.
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
            "{} is not followed, because it belongs to user {owner} and you are user {user}; \
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

/// Whose files are followed.
#[derive(Clone, Debug)]
pub struct SafeDirectories {
    user: u32,
    /// The user who called `sudo`, where this process is root through it.
    caller: Option<u32>,
    listed: Vec<String>,
    home: PathBuf,
    config: PathBuf,
}

impl SafeDirectories {
    /// As the configuration says; a project cannot add to it.
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

    /// Opens a project file to be read, if it may be followed.
    ///
    /// # Errors
    /// It cannot be opened, is not an ordinary file, or belongs to another user.
    pub fn open(&self, path: &Path) -> Result<File, OpenError> {
        let file = bounded_read::open(path).map_err(OpenError::Io)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = parent.canonicalize().map_err(OpenError::Io)?;
        // A link is its owner's word for what it leads to; and who owns the directory can put anything into it.
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

    /// Root could write to the system's configuration in any case.
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
    fn a_user_trusts_himself_root_and_who_called_sudo() {
        assert!(safe(&[], 7, None).is_trusted(7));
        assert!(safe(&[], 7, None).is_trusted(0));
        assert!(!safe(&[], 7, None).is_trusted(8));
        assert!(!safe(&[], 0, None).is_trusted(8));
        assert!(safe(&[], 0, Some(8)).is_trusted(8));
    }

    #[test]
    fn a_listed_directory_stands_for_all_below_it() {
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
