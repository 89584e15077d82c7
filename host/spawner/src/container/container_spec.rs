//! Owns the description of a container for the engine. Does not talk to the engine.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount};
use persea_helper::CONNECT_ARGUMENT;

use super::engine::Image;
use super::mounts::{HELPER_PATH, SOCKET_PATH};

/// A container to create.
pub(super) struct ContainerSpec<'a> {
    pub(super) image: &'a Image,
    pub(super) mounts: Vec<Mount>,
    /// The directory in which processes start.
    pub(super) directory: &'a Path,
    /// The user of the helper and, by default, of its processes.
    pub(super) user: String,
    pub(super) network: &'a str,
    pub(super) runtime: Option<&'a str>,
    pub(super) labels: HashMap<String, String>,
}

impl ContainerSpec<'_> {
    /// The container in the engine's own format.
    pub(super) fn body(self) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.image.id().to_owned()),
            entrypoint: Some(vec![HELPER_PATH.to_owned()]),
            cmd: Some(vec![CONNECT_ARGUMENT.to_owned(), SOCKET_PATH.to_owned()]),
            user: Some(self.user),
            working_dir: Some(self.directory.to_string_lossy().into_owned()),
            labels: Some(self.labels),
            host_config: Some(HostConfig {
                auto_remove: Some(true),
                // The helper reaps processes itself.
                init: Some(false),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("none".to_owned()),
                    config: None,
                }),
                mounts: Some(self.mounts),
                network_mode: Some(self.network.to_owned()),
                runtime: self.runtime.map(str::to_owned),
                // Otherwise SELinux denies the container the project, unless all its files were
                // given another label.
                security_opt: Path::new("/sys/fs/selinux/enforce")
                    .exists()
                    .then(|| vec!["label=disable".to_owned()]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}
