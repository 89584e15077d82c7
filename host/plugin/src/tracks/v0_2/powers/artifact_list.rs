//! The interface `artifact-list` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::artifact_list as wit;
use self::wit::{Entry, Page};
use crate::instance::state::InstanceState;
use crate::powers::artifact_list::ArtifactPage;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/artifact-list@0.2.0;
    }",
    { default: async | trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl From<ArtifactPage> for Page {
    fn from(page: ArtifactPage) -> Self {
        let entries = page.entries.into_iter();
        let entries = entries.map(|(name, size)| Entry {
            name,
            size,
            more: Vec::new(),
        });
        Self {
            entries: entries.collect(),
            cursor: page.cursor,
        }
    }
}

impl wit::Host for InstanceState {
    async fn list_artifacts(
        &mut self,
        task: Option<String>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<Page, Error>> {
        let page = self.artifact_page(task, cursor).await;
        Ok(page.map(Page::from).map_err(Into::into))
    }
}
