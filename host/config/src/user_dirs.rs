//! Owns the paths of a user's directories. Does not know what is in them.

use std::path::PathBuf;

/// The directories of a user, as in the XDG base directory specification 0.8.
#[derive(Clone, Debug)]
pub struct UserDirs {
    /// Configuration: `$XDG_CONFIG_HOME/persea`.
    pub config: PathBuf,
    /// The user's plugins: `$XDG_DATA_HOME/persea`.
    pub data: PathBuf,
    /// Data that can be made again: `$XDG_CACHE_HOME/persea`.
    pub cache: PathBuf,
    /// Data that must be kept and is no result: `$XDG_STATE_HOME/persea`.
    pub state: PathBuf,
    /// The home directory.
    pub home: PathBuf,
}

impl UserDirs {
    /// Finds the directories by the environment. Without a home directory they are below the
    /// directory for temporary files.
    pub fn from_env() -> Self {
        let home = std::env::home_dir()
            .filter(|home| home.is_absolute())
            .unwrap_or_else(std::env::temp_dir);
        let dir = |variable: &str, below: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .unwrap_or_else(|| home.join(below))
                .join("persea")
        };
        Self {
            config: dir("XDG_CONFIG_HOME", ".config"),
            data: dir("XDG_DATA_HOME", ".local/share"),
            cache: dir("XDG_CACHE_HOME", ".cache"),
            state: dir("XDG_STATE_HOME", ".local/state"),
            home,
        }
    }
}
