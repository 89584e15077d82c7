//! The power `cache`: files that a plugin keeps from job to job, in a directory of its own.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::contract::convert::{error, io_error};
use crate::contract::data::Error;
use crate::contract::limits::{CACHE_NAMES, CACHE_VALUE, PIECE};
use crate::contract::world::World;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::{checked_name, read_at};
use rustix::fs::OFlags;

pub(crate) static POWER: Power = Power {
    name: "cache",
    worlds: &[World::RequirementResolver],
    words: "keep some files of its own from job to job",
    grant: None,
    more_grants: &[],
};

/// The directory of one plugin.
pub(crate) struct CachePower {
    directory: PathBuf,
}

impl PowerState for CachePower {}

impl CachePower {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Returns what is kept under a name.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let failed = |error: std::io::Error| io_error(name, &error);
        let path = self.directory.join(checked_name(name)?);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = std::fs::File::options();
        let file = options.read(true).custom_flags(flags).open(path);
        let file = file.map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(error("invalid", format!("{name} is not an ordinary file")));
        }
        read_at(&file, 0, PIECE, &CACHE_VALUE).map_err(failed)
    }

    /// Keeps bytes under a name.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let failed = |error: std::io::Error| io_error(name, &error);
        let path = self.directory.join(checked_name(name)?);
        CACHE_VALUE.check(bytes.len())?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(failed)?;
        let names = std::fs::read_dir(&self.directory).map_err(failed)?.count();
        if names >= CACHE_NAMES.most && !path.exists() {
            let message = CACHE_NAMES.exceeded(names + 1);
            let directory = self.directory.display();
            return Err(error(
                "limit",
                format!("{message}; to remove {directory} makes room"),
            ));
        }
        // Written aside and renamed: hosts that run at once see the whole file or the previous one.
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory);
        let mut new = new.map_err(failed)?;
        new.write_all(bytes).map_err(failed)?;
        new.persist(path).map_err(|failure| failed(failure.error))?;
        Ok(())
    }
}

impl InstanceState {
    /// Returns the plugin's cache.
    pub(crate) fn cache(&mut self) -> Result<&mut CachePower, Error> {
        self.permitted(&POWER)
    }
}
