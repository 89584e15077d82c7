//! Owns `persea plugin install` and `verify`: whether the locked plugins are on this machine, with
//! the bytes and the description that the locks bind.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::output::print_line;
use super::super::{Context, Failure, exit};
use super::component::store_plugin;
use super::lock::failure;
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::{Catalog, LockEntry, Manifest, OwnLimits, World, digest, oci, stored};

/// `persea plugin install`: downloads the locked plugins of registries that are not on this
/// machine.
pub(super) async fn install(context: &Context) -> Result<u8, Failure> {
    let catalog = context.empty_catalog()?;
    let store = context.store();
    for lock in [context.lock(false)?, context.lock(true)?] {
        for entry in lock.entries() {
            let Some(reference) = entry.registry() else {
                continue;
            };
            let path = stored(&store, &entry.sha256);
            if std::fs::read(&path).is_ok_and(|bytes| digest(&bytes) == entry.sha256) {
                continue;
            }
            let pulled = oci::pull(reference, &catalog.loader().largest(&OwnLimits::none())).await;
            let bytes = pulled.map_err(Failure::of)?.bytes;
            if digest(&bytes) != entry.sha256 {
                return Err(failure(format!(
                    "{}: the plugin at {} is not the one that is locked in {}",
                    entry.id(),
                    printable(&entry.source),
                    lock.path().display()
                )));
            }
            store_plugin(&store, &entry.sha256, &bytes)?;
            print_line(format_args!(
                "downloaded {} {} from {}",
                entry.id(),
                entry.version,
                printable(reference)
            ));
        }
    }
    Ok(exit::OK)
}

/// `persea plugin verify`.
pub(super) async fn verify(context: &Context) -> Result<u8, Failure> {
    let catalog = context.empty_catalog()?;
    let sources = context.sources()?;
    let mut wrong = 0;
    for lock in sources.locks.iter() {
        for entry in lock.entries() {
            let path = sources.file_of(lock, entry);
            let checked = match &path {
                Some(path) if entry.registry().is_none() || path.exists() => {
                    match catalog.loader().check_reach(&entry.source, lock, entry) {
                        Ok(()) => check(&catalog, entry, path).await,
                        Err(why) => Err(why.to_string()),
                    }
                }
                _ => Err(not_stored(&entry.source)),
            };
            let path = path.unwrap_or_default();
            match checked {
                Ok(()) => print_line(format_args!(
                    "ok    {} {} {}",
                    entry.id(),
                    entry.version,
                    path.display()
                )),
                Err(why) => {
                    wrong += 1;
                    print_line(format_args!(
                        "WRONG {} {}: {}",
                        entry.id(),
                        entry.version,
                        printable(&why)
                    ));
                }
            }
        }
    }
    let unlocked = catalog.loader().not_locked().map_err(Failure::of)?;
    for error in &unlocked {
        print_line(format_args!("open  {}", printable(&error.to_string())));
    }
    Ok(if wrong == 0 { exit::OK } else { exit::JOB_FAIL })
}

/// Says that a plugin of a registry was not downloaded.
fn not_stored(source: &str) -> String {
    format!("its `source`, {source}, is not on this machine: `persea plugin install` downloads it")
}

/// Checks that a file has the bytes and the description of a lock entry, and that the entry grants
/// all powers that the plugin asks for. The error is a text for people.
async fn check(catalog: &Catalog, entry: &LockEntry, path: &Path) -> Result<(), String> {
    let text = |error: plugin::PluginError| error.to_string();
    let own = entry.own_limits();
    let of_source = |error: plugin::PluginError| format!("its `source`: {error}");
    let bytes = catalog.loader().read(path, &own).map_err(of_source)?;
    let found = digest(&bytes);
    if found != entry.sha256 {
        // A lock may name any file. The digest of a short secret would give the secret away.
        Manifest::read(&path.display().to_string(), &bytes).map_err(of_source)?;
        return Err(format!(
            "{} has the sha256 {found}, and {} is locked; to see the differences: `persea plugin \
             update {}`",
            path.display(),
            entry.sha256,
            entry.id()
        ));
    }
    catalog
        .loader()
        .check_signature(&entry.source, &bytes, entry.signature.as_deref())
        .map_err(text)?;
    let examined = catalog.loader().examine(path, &bytes, &own).await;
    let plugins = examined.map_err(text)?;
    let Some(plugin) = plugins.first() else {
        return Err("it has no role".to_owned());
    };
    let roles = plugins.iter();
    let roles: BTreeMap<World, Vec<String>> = roles
        .map(|plugin| (plugin.world, plugin.kinds.clone()))
        .collect();
    let same = [
        ("name", plugin.name == entry.name),
        ("roles and kinds", roles == entry.roles),
        ("version", plugin.version == entry.version),
        (
            "contract",
            plugin.manifest.contract.to_string() == entry.contract,
        ),
    ];
    if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
        return Err(format!("its {what} differs from the lock's"));
    }
    let missing = plugin.manifest.missing(&entry.grants);
    match missing.as_slice() {
        [] => Ok(()),
        missing => {
            let names: Vec<&str> = missing.iter().map(|power| power.name).collect();
            Err(format!(
                "it asks for powers that are not granted: {}",
                names.join(", ")
            ))
        }
    }
}
