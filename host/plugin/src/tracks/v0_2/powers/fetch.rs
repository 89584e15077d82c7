//! The interface `fetch` of the track 0.2.

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::persea::plugin::fetch as wit;
use crate::contract::data::DownloadSource;
use crate::instance::state::InstanceState;
use crate::powers::fetch::DownloadedFile;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::{Error, Value};
use crate::tracks::v0_2::convert::attributes;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/fetch@0.2.0;
    }",
    { default: async | trappable },
    "persea:plugin/fetch.download": crate::powers::fetch::DownloadedFile
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl From<wit::Source> for DownloadSource {
    fn from(source: wit::Source) -> Self {
        Self {
            locations: source.locations,
            checksum: source.checksum,
            more: attributes(source.more),
        }
    }
}

impl wit::Host for InstanceState {
    async fn fetch(
        &mut self,
        source: wit::Source,
    ) -> wasmtime::Result<Result<Resource<DownloadedFile>, Error>> {
        let fetched = self.fetch_file(source.into()).await?;
        Ok(fetched.map_err(Into::into))
    }
}

impl wit::HostDownload for InstanceState {
    async fn info(
        &mut self,
        download: Resource<DownloadedFile>,
    ) -> wasmtime::Result<wit::DownloadInfo> {
        let download = self.downloaded(&download)?;
        let sha256 = Value::Text(download.sha256.clone());
        Ok(wit::DownloadInfo {
            size: download.size,
            location: download.location.clone(),
            more: vec![("sha256".to_owned(), sha256)],
        })
    }

    async fn read(
        &mut self,
        download: Resource<DownloadedFile>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let read = self.downloaded(&download)?.read(offset, length);
        Ok(read.map_err(Into::into))
    }

    async fn drop(&mut self, download: Resource<DownloadedFile>) -> wasmtime::Result<()> {
        self.drop_download(download)
    }
}
