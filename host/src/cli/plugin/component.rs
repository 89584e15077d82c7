//! Owns where a component comes from: a file or a registry, its signature, and the store of plugins
//! from registries. Does not know about grants.

use std::path::{Path, PathBuf};

use super::super::{Context, Failure};
use super::lock::failure;
use persea_plugin::oci::{self, Pulled};
use persea_plugin::{Catalog, Lock, LockEntry, OwnLimits, Plugin, stored};
use persea_system::bounded_read::{self, MAX_SMALL_FILE};
use persea_system::private::{ONLY_OWNER, create_directory};

/// The prefix of a source that is a registry's reference.
pub(super) const REGISTRY: &str = "oci://";

/// A component with what it is.
pub(super) struct Component {
    /// The component's bytes.
    pub(super) bytes: Vec<u8>,
    /// The source as the lock names it.
    pub(super) source: String,
    /// The text of its minisign signature.
    pub(super) signature: Option<String>,
    /// The component's plugins, one for each of its worlds.
    pub(super) plugins: Vec<Plugin>,
}

impl Component {
    /// One of the component's plugins, for what all of them share.
    pub(super) fn first(&self) -> Result<&Plugin, Failure> {
        let first = self.plugins.first();
        first.ok_or_else(|| failure(format!("{} has no role", self.source)))
    }
}

/// Reads a component from a file or a registry, checks its signature, and asks it for its
/// description under its limits.
pub(super) async fn read_component(
    catalog: &Catalog,
    source: &str,
    lock: &Lock,
    own: &OwnLimits<'_>,
) -> Result<Component, Failure> {
    let path = Path::new(source);
    let (bytes, source, signature) = match registry_reference(source) {
        Some(reference) => {
            let pulled = oci::pull(reference, &catalog.loader().largest(own)).await;
            let Pulled {
                bytes,
                signature,
                pinned,
            } = pulled.map_err(Failure::of)?;
            (bytes, format!("{REGISTRY}{pinned}"), signature)
        }
        None => {
            let bytes = catalog.loader().read(path, own).map_err(Failure::of)?;
            let signature = signature_beside(path)?;
            (bytes, lock_path(path, lock), signature)
        }
    };
    let label = PathBuf::from(&source);
    catalog
        .loader()
        .check_signature(&source, &bytes, signature.as_deref())
        .map_err(Failure::of)?;
    let examined = catalog.loader().examine(&label, &bytes, own).await;
    let plugins = examined.map_err(Failure::of)?;
    Ok(Component {
        bytes,
        source,
        signature,
        plugins,
    })
}

/// The registry reference that a source names; none if the source is a file.
fn registry_reference(source: &str) -> Option<&str> {
    if let Some(reference) = source.strip_prefix(REGISTRY) {
        return Some(reference);
    }
    let (registry, _) = source.split_once('/')?;
    let named =
        registry.contains(['.', ':']) && !registry.starts_with('.') || registry == "localhost";
    (named && !Path::new(source).exists()).then_some(source)
}

/// The text of `FILE.minisig`, if there is one.
fn signature_beside(path: &Path) -> Result<Option<String>, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    match bounded_read::text(Path::new(&name), MAX_SMALL_FILE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure(format!(
            "cannot read {}: {error}",
            Path::new(&name).display()
        ))),
    }
}

/// A path as a lock names it: relative to the lock's directory if the file is below that, so that a
/// project can be moved.
fn lock_path(path: &Path, lock: &Lock) -> String {
    let directory = match lock.directory() {
        here if here.as_os_str().is_empty() => Path::new("."),
        directory => directory,
    };
    let Ok(file) = path.canonicalize() else {
        return path.to_string_lossy().into_owned();
    };
    let directory = directory.canonicalize();
    let below = directory
        .ok()
        .and_then(|directory| file.strip_prefix(directory).ok());
    below.unwrap_or(&file).to_string_lossy().into_owned()
}

/// Puts a plugin that came from a registry into the store.
pub(super) fn store_pulled(
    context: &Context,
    entry: &LockEntry,
    bytes: &[u8],
) -> Result<(), Failure> {
    match entry.registry() {
        Some(_) => store_plugin(&context.store(), &entry.sha256, bytes),
        None => Ok(()),
    }
}

/// Puts a plugin into the store.
pub(super) fn store_plugin(store: &Path, sha256: &str, bytes: &[u8]) -> Result<(), Failure> {
    let put = || -> std::io::Result<()> {
        create_directory(store, ONLY_OWNER)?;
        let mut file = tempfile::NamedTempFile::new_in(store)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(stored(store, sha256))
            .map_err(|error| error.error)?;
        Ok(())
    };
    put().map_err(|error| {
        failure(format!(
            "cannot store a plugin in {}: {error}",
            store.display()
        ))
    })
}
