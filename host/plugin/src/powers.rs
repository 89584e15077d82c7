//! The powers that a plugin may be given: one interface of the contract each, one file each.
//!
//! Owns what each does and how each is confined. Knows nothing of worlds: which plugin gets what is decided by the catalog.

use wasmtime::component::{HasSelf, Linker};

use crate::contract::bindings;
use crate::instance::state::State;

pub(crate) mod batch;
pub(crate) mod cache;
pub(crate) mod fetch;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod wasi;
pub(crate) mod workspace;

/// Links the powers with these names and no others.
pub(crate) fn link(linker: &mut Linker<State>, powers: &[String]) -> wasmtime::Result<()> {
    bindings::types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    for power in powers {
        match power.as_str() {
            "log" => bindings::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "workspace" => {
                bindings::workspace::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?
            }
            "process" => bindings::process::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "status" => bindings::status::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "batch" => bindings::batch::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "output" => bindings::output::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "fetch" => bindings::fetch::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            "cache" => bindings::cache::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            _ => {}
        }
    }
    Ok(())
}

impl bindings::types::Host for State {}

/// The longest piece that is read or written in one call: 1 MiB.
pub(crate) const PIECE: u32 = 1 << 20;

/// Reads up to `length` bytes of an ordinary file from `offset`; fewer only at its end.
pub(crate) fn read_at(file: &std::fs::File, offset: u64, length: u32) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let size = file.metadata()?.len();
    let length = u64::from(length.min(PIECE)).min(size.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
