//! The interface `workspace` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::workspace as wit;
use self::wit::{FileKind, FileStat};
use crate::instance::state::InstanceState;
use crate::powers::workspace;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/workspace@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

fn kind(kind: workspace::FileKind) -> FileKind {
    match kind {
        workspace::FileKind::File => FileKind::File,
        workspace::FileKind::Directory => FileKind::Directory,
        workspace::FileKind::Other => FileKind::Other,
    }
}

impl wit::Host for InstanceState {
    fn stat(&mut self, path: String) -> wasmtime::Result<Result<FileStat, Error>> {
        let stat = self.stat_project_file(&path).map(|stat| FileStat {
            kind: kind(stat.kind),
            size: stat.size,
            executable: stat.executable,
            more: Vec::new(),
        });
        Ok(stat.map_err(Into::into))
    }

    fn list_directory(
        &mut self,
        path: String,
    ) -> wasmtime::Result<Result<Vec<(String, FileKind)>, Error>> {
        let entries = self.list_project_directory(&path).map(|entries| {
            let entries = entries.into_iter();
            entries.map(|(name, it)| (name, kind(it))).collect()
        });
        Ok(entries.map_err(Into::into))
    }

    fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let bytes = self.read_project_file(&path, offset, length);
        Ok(bytes.map_err(Into::into))
    }
}
