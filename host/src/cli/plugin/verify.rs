//! `persea plugin install` and `verify`: whether what the locks bind is on this machine, and is what they say.

use std::path::Path;

use super::super::{Context, Failure, exit, say};
use super::lock::{failure, keep};
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::{Catalog, LockEntry, OwnLimits, digest, oci, stored};

/// `persea plugin install`: gets what the locks have from registries and this machine has not.
pub(super) async fn install(context: &Context) -> Result<u8, Failure> {
    let catalog = context.bare()?;
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
                    "{}: {} has another plugin than the one that {} binds",
                    entry.id(),
                    printable(&entry.source),
                    lock.path().display()
                )));
            }
            keep(&store, &entry.sha256, &bytes)?;
            say(format_args!(
                "got {} {} from {}",
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
    let catalog = context.bare()?;
    let sources = context.sources()?;
    let mut wrong = 0;
    for lock in sources.locks.iter() {
        for entry in lock.entries() {
            let path = sources.file_of(lock, entry);
            let checked = match &path {
                Some(path) => match catalog.loader().check_reach(&entry.source, lock, entry) {
                    Ok(()) => check(&catalog, entry, path).await,
                    Err(why) => Err(why.to_string()),
                },
                None => Err("it is not on this machine".to_owned()),
            };
            let place = path.unwrap_or_default();
            match checked {
                Ok(()) => say(format_args!(
                    "ok    {} {} {}",
                    entry.id(),
                    entry.version,
                    place.display()
                )),
                Err(why) => {
                    wrong += 1;
                    say(format_args!(
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
        say(format_args!("open  {}", printable(&error.to_string())));
    }
    Ok(if wrong == 0 { exit::OK } else { exit::JOB_FAIL })
}

/// Whether a file is what an entry binds, says of itself what stands there, and is granted what it asks for.
async fn check(catalog: &Catalog, entry: &LockEntry, path: &Path) -> Result<(), String> {
    let text = |error: plugin::PluginError| error.to_string();
    let own = entry.own_limits();
    let bytes = catalog.loader().read(path, &own).map_err(text)?;
    let found = digest(&bytes);
    if found != entry.sha256 {
        return Err(format!(
            "{} has the sha256 {found}, and {} is locked; `persea plugin update {}` shows what is different",
            path.display(),
            entry.sha256,
            entry.id()
        ));
    }
    catalog
        .loader()
        .check_signature(&entry.source, &bytes, entry.signature.as_deref())
        .map_err(text)?;
    let plugin = catalog
        .loader()
        .examine(path, &bytes, &own)
        .await
        .map_err(text)?;
    let same = [
        ("name", plugin.name == entry.name),
        ("world", plugin.world == entry.world),
        ("version", plugin.version == entry.version),
        (
            "contract",
            plugin.manifest.contract.to_string() == entry.contract,
        ),
        ("kinds", plugin.kinds == entry.kinds),
    ];
    if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
        return Err(format!("the lock has another {what} than the plugin says"));
    }
    let missing = plugin.manifest.missing(&entry.grants);
    match missing.as_slice() {
        [] => Ok(()),
        missing => {
            let names: Vec<&str> = missing.iter().map(|power| power.name).collect();
            Err(format!(
                "it asks for {} and is not granted that",
                names.join(", ")
            ))
        }
    }
}
