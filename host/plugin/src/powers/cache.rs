//! The power `cache`: what a plugin keeps from job to job, a file each in a directory of its own.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::status::checked;
use super::{PIECE, read_at};
use crate::contract::bindings::cache::Host;
use crate::contract::bindings::types::Error;
use crate::contract::convert::{error, io_error};
use crate::engine::limits::{Reached, bytes as size};
use crate::instance::state::State;

/// The most names that a plugin keeps.
const NAMES: usize = 1024;

/// The directory of one plugin.
pub(crate) struct CachePower {
    directory: PathBuf,
}

impl CachePower {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let failed = |error: std::io::Error| io_error(name, &error);
        let path = self.directory.join(checked(name)?);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = std::fs::File::options();
        let file = options.read(true).custom_flags(flags).open(path);
        let file = file.map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(error("invalid", format!("{name} is not an ordinary file")));
        }
        read_at(&file, 0, PIECE).map_err(failed)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let failed = |error: std::io::Error| io_error(name, &error);
        let path = self.directory.join(checked(name)?);
        if bytes.len() > PIECE as usize {
            let what = "what it keeps under one name";
            let instead = format!("{name} has {}", size(bytes.len() as u64));
            let reached = Reached::fixed(what, size(PIECE.into()), instead);
            return Err(error("too-large", format!("it has reached {reached}")));
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(failed)?;
        let names = std::fs::read_dir(&self.directory).map_err(failed)?.count();
        if names >= NAMES && !path.exists() {
            let what = "what it keeps from job to job";
            let instead = format!("to remove {} makes room", self.directory.display());
            let reached = Reached::fixed(what, format!("{NAMES} names"), instead);
            return Err(error("limit", format!("it has reached {reached}")));
        }
        // Whole or not at all, also for hosts that run at once.
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory);
        let mut new = new.map_err(failed)?;
        new.write_all(bytes).map_err(failed)?;
        new.persist(path).map_err(|failure| failed(failure.error))?;
        Ok(())
    }
}

impl State {
    fn cache_power(&self) -> Result<&CachePower, Error> {
        self.cache
            .as_ref()
            .ok_or_else(|| error("unsupported", "nothing is kept from job to job here"))
    }
}

impl Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.cache_power().and_then(|cache| cache.get(&name)))
    }

    fn put(&mut self, name: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .cache_power()
            .and_then(|cache| cache.put(&name, &bytes)))
    }
}
