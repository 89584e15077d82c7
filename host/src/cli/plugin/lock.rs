//! `persea plugin add`, `update` and `remove`: what the lock binds. How a lock looks is the plugin folder's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::super::{Context, Failure, exit, say};
use super::{at_its_word, place};
use persea_config::settings;
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::oci::{self, Pulled};
use persea_plugin::{Catalog, Grant, Grants, Lock, LockEntry, OwnLimits, Plugin, Power, stored};
use persea_system::bounded_read::{self, MAX_SMALL_FILE};

/// How a registry's reference begins, where it's not plain that it is one.
const REGISTRY: &str = "oci://";

/// What a plugin may do and use.
#[derive(Debug, Args)]
pub(in super::super) struct Terms {
    /// Set one of its limits, as in `--limit memory_mb=512` (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    limit: Vec<String>,
    /// The user's own lock, for all projects, and not that of the project
    #[arg(long)]
    user: bool,
}

impl Terms {
    /// Which lock is meant, as it is to be typed again.
    fn option(&self) -> &'static str {
        if self.user { " --user" } else { "" }
    }

    fn limits(&self) -> Result<BTreeMap<String, Value>, Failure> {
        let read = |text: &String| {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                failure(format!("--limit {text}: write it as `--limit NAME=VALUE`"))
            })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            plugin::check_limit(name, &value)
                .map_err(|why| failure(format!("--limit {text}: {why}")))?;
            Ok((name.to_owned(), value))
        };
        self.limit.iter().map(read).collect()
    }
}

pub(super) fn failure(message: String) -> Failure {
    Failure::new(exit::FAIL, miette::miette!("{message}"))
}

/// A component as it was found at its source.
struct Found {
    bytes: Vec<u8>,
    /// As the lock names it.
    source: String,
    signature: Option<String>,
    plugin: Plugin,
}

/// Gets a component, from a file or a registry, looks whether it's signed as it has to be, and what it says of itself within the limits that
/// it's to have.
async fn find(
    catalog: &Catalog,
    source: &str,
    lock: &Lock,
    own: &OwnLimits<'_>,
) -> Result<Found, Failure> {
    let path = Path::new(source);
    let (bytes, source, signature) = match reference(source) {
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
            (bytes, from_lock(path, lock), signature)
        }
    };
    let label = PathBuf::from(&source);
    catalog
        .loader()
        .check_signature(&source, &bytes, signature.as_deref())
        .map_err(Failure::of)?;
    let examined = catalog.loader().examine(&label, &bytes, own).await;
    let plugin = examined.map_err(Failure::of)?;
    Ok(Found {
        bytes,
        source,
        signature,
        plugin,
    })
}

/// What a source names in a registry, if it's not a file.
fn reference(source: &str) -> Option<&str> {
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

/// A path as the lock writes it: from its own directory where that can be, so that a project can be moved.
fn from_lock(path: &Path, lock: &Lock) -> String {
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

fn entry(found: &Found, grants: Grants, limits: BTreeMap<String, Value>) -> LockEntry {
    let plugin = &found.plugin;
    LockEntry {
        name: plugin.name.clone(),
        world: plugin.world,
        version: plugin.version.clone(),
        contract: plugin.manifest.contract.to_string(),
        kinds: plugin.kinds.clone(),
        source: found.source.clone(),
        sha256: plugin.digest.clone(),
        signature: found.signature.clone(),
        grants,
        limits,
    }
}

/// Keeps what came from a registry.
fn keep_pulled(context: &Context, entry: &LockEntry, bytes: &[u8]) -> Result<(), Failure> {
    match entry.registry() {
        Some(_) => keep(&context.store(), &entry.sha256, bytes),
        None => Ok(()),
    }
}

/// Whether an entry with the same terms is in the lock already.
///
/// # Errors
/// There is one with the same name and other terms.
fn is_locked(lock: &Lock, new: &LockEntry) -> Result<bool, Failure> {
    let id = new.id();
    let Some(old) = lock.named(&id).next() else {
        return Ok(false);
    };
    if (&old.sha256, &old.grants, &old.limits) == (&new.sha256, &new.grants, &new.limits) {
        return Ok(true);
    }
    Err(failure(format!(
        "{id} is in {} already, from {}: `persea plugin update {id}` takes another version or other grants",
        lock.path().display(),
        printable(&old.source),
    )))
}

/// Another host has changed the entry since this one read it.
fn changed_meanwhile(entry: &LockEntry) -> Failure {
    failure(format!(
        "{} was changed by another persea meanwhile: look at it, and try again",
        entry.id()
    ))
}

pub(super) fn keep(store: &Path, sha256: &str, bytes: &[u8]) -> Result<(), Failure> {
    let put = || -> std::io::Result<()> {
        std::fs::create_dir_all(store)?;
        let mut file = tempfile::NamedTempFile::new_in(store)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(stored(store, sha256))
            .map_err(|error| error.error)?;
        Ok(())
    };
    put().map_err(|error| {
        failure(format!(
            "cannot keep a plugin in {}: {error}",
            store.display()
        ))
    })
}

/// What a component asks for and is not granted, as a failure that says what to type.
fn refuse(context: &Context, plugin: &Plugin, missing: &[&Power], command: &str) -> Failure {
    let spawner = context.config.get(settings::RUN_SPAWNER).name();
    let asks = missing
        .iter()
        .map(|power| format!("\n  {}: to {}", power.name, power.words));
    let grants = missing
        .iter()
        .filter_map(|power| power.grant)
        .map(|grant| format!(" --grant {}", grant.proposal(spawner)));
    let message = format!(
        "{} asks for what it is not granted:{}",
        printable(plugin.label()),
        asks.collect::<String>()
    );
    let help = format!("say what it may: `{command}{}`", grants.collect::<String>());
    Failure::new(exit::FAIL, miette::miette!(help = help, "{message}"))
}

/// That more is granted than it asks for: a later version could use it unseen.
fn refuse_useless(plugin: &Plugin, useless: &[&Grant]) -> Failure {
    let names: Vec<&str> = useless.iter().map(|grant| grant.name).collect();
    failure(format!(
        "{} does not ask for {}, so it is not granted",
        printable(plugin.label()),
        names.join(", ")
    ))
}

fn show(entry: &LockEntry) {
    let rows = [
        ("source", entry.source.clone()),
        ("version", entry.version.clone()),
        ("sha256", entry.sha256.clone()),
        ("kinds", entry.kinds.join(", ")),
        ("granted", entry.grants.to_string()),
        (
            "signed",
            entry
                .signature
                .as_ref()
                .map(|_| "yes".to_owned())
                .unwrap_or_default(),
        ),
    ];
    for (name, value) in rows {
        if !value.is_empty() {
            say(format_args!("  {name:<8} {}", printable(&value)));
        }
    }
}

/// `persea plugin add`.
pub(super) async fn add(context: &Context, source: &str, terms: &Terms) -> Result<u8, Failure> {
    let catalog = context.bare()?;
    let lock = context.lock(terms.user)?;
    let limits = terms.limits()?;
    let own = OwnLimits::asked(&limits);
    let found = find(&catalog, source, &lock, &own).await?;
    let mut grants = context.grants.clone();
    let useless = found.plugin.manifest.remove_useless(&mut grants);
    if !useless.is_empty() {
        return Err(refuse_useless(&found.plugin, &useless));
    }
    let missing = found.plugin.manifest.missing(&grants);
    if !missing.is_empty() {
        return Err(refuse(
            context,
            &found.plugin,
            &missing,
            &format!("persea plugin add {source}{}", terms.option()),
        ));
    }
    let new = entry(&found, grants, limits.clone());
    let reach = catalog.loader().check_reach(source, &lock, &new);
    reach.map_err(Failure::of)?;
    if is_locked(&lock, &new)? {
        say(format_args!(
            "{} is in {} already",
            new.id(),
            lock.path().display()
        ));
        return Ok(exit::OK);
    }
    let place = place::place(context, &found.plugin).await?;
    keep_pulled(context, &new, &found.bytes)?;
    context.change_lock(terms.user, |lock| {
        if !is_locked(lock, &new)? {
            lock.put(new.clone());
        }
        Ok(())
    })?;
    say(format_args!(
        "locked {} in {}",
        new.id(),
        lock.path().display()
    ));
    show(&new);
    for (word, line) in place {
        say(format_args!("  {word:<8} {}", printable(&line)));
    }
    for power in &found.plugin.manifest.powers {
        say(format_args!("  may {}", power.words));
    }
    if let Some(words) = at_its_word(&found.plugin, &new.grants) {
        say(format_args!("  {words}"));
    }
    Ok(exit::OK)
}

/// An entry, with its lock.
struct Locked {
    lock: Lock,
    /// The lock is the user's own.
    of_user: bool,
    entry: LockEntry,
}

/// The one entry with that name, in the project's lock or in the user's; or only there.
fn only(context: &Context, name: &str, of_user: bool) -> Result<Locked, Failure> {
    let own = (context.lock(true)?, true);
    let locks = match of_user {
        true => vec![own],
        false => vec![(context.lock(false)?, false), own],
    };
    for (lock, of_user) in locks {
        let named: Vec<LockEntry> = lock.named(name).cloned().collect();
        match named.as_slice() {
            [] => {}
            [one] => {
                let entry = one.clone();
                return Ok(Locked {
                    lock,
                    of_user,
                    entry,
                });
            }
            several => {
                let ids: Vec<String> = several.iter().map(LockEntry::id).collect();
                return Err(failure(format!(
                    "several are named `{name}`: write one of {}",
                    ids.join(", ")
                )));
            }
        }
    }
    Err(failure(format!(
        "no lock has `{name}`: `persea plugin verify` shows what they have"
    )))
}

/// `persea plugin update`.
pub(super) async fn update(
    context: &Context,
    name: &str,
    approve: bool,
    terms: &Terms,
) -> Result<u8, Failure> {
    let catalog = context.bare()?;
    let Locked {
        lock,
        of_user,
        entry: old,
    } = only(context, name, terms.user)?;
    // A tag may name another by now; the digest would always name the same.
    let source = match (old.registry(), lock.file_of(&old)) {
        (Some(pinned), _) => {
            let tag = pinned.split_once('@').map_or(pinned, |(tag, _)| tag);
            format!("{REGISTRY}{tag}")
        }
        (None, path) => path.unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut limits = old.limits.clone();
    limits.extend(terms.limits()?);
    let own = old.own_limits_from(&limits);
    let found = find(&catalog, &source, &lock, &own).await?;
    let plugin = &found.plugin;
    let mut grants = old.grants.clone();
    plugin.manifest.remove_useless(&mut grants);
    let mut asked = context.grants.clone();
    let useless = plugin.manifest.remove_useless(&mut asked);
    if !useless.is_empty() {
        return Err(refuse_useless(plugin, &useless));
    }
    grants.replace(&asked);
    let missing = plugin.manifest.missing(&grants);
    let new = entry(&found, grants, limits.clone());
    if new.id() != old.id() {
        return Err(failure(format!(
            "{} is now {}: `persea plugin remove {}`, and add the other",
            old.id(),
            new.id(),
            old.id()
        )));
    }
    let reach = catalog.loader().check_reach(&source, &lock, &new);
    reach.map_err(Failure::of)?;
    if new == old {
        say(format_args!(
            "{} {} is as it was locked",
            old.id(),
            old.version
        ));
        return Ok(exit::OK);
    }
    difference(&old, &new);
    let command = format!("persea plugin update {}{}", old.id(), terms.option());
    if !missing.is_empty() {
        return Err(refuse(context, plugin, &missing, &command));
    }
    let more: Vec<&str> = new
        .kinds
        .iter()
        .filter(|kind| !old.kinds.contains(kind))
        .map(String::as_str)
        .collect();
    if !more.is_empty() && !approve {
        let help = format!("`{command} --approve` lets it");
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = help,
                "{} would serve more kinds than it did: {}",
                old.id(),
                printable(&more.join(", "))
            ),
        ));
    }
    keep_pulled(context, &new, &found.bytes)?;
    context.change_lock(of_user, |lock| {
        if lock.entries().iter().all(|entry| *entry != old) {
            return Err(changed_meanwhile(&old));
        }
        lock.put(new);
        Ok(())
    })?;
    say(format_args!(
        "locked {} in {}",
        old.id(),
        lock.path().display()
    ));
    Ok(exit::OK)
}

/// Says what is different, a line each.
fn difference(old: &LockEntry, new: &LockEntry) {
    say(format_args!("{}", new.id()));
    let limits = |entry: &LockEntry| {
        let all = entry
            .limits
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        all.collect::<Vec<_>>().join(" ")
    };
    let rows = [
        ("version", old.version.clone(), new.version.clone()),
        ("contract", old.contract.clone(), new.contract.clone()),
        ("source", old.source.clone(), new.source.clone()),
        ("sha256", old.sha256.clone(), new.sha256.clone()),
        ("kinds", old.kinds.join(", "), new.kinds.join(", ")),
        ("granted", old.grants.to_string(), new.grants.to_string()),
        ("limits", limits(old), limits(new)),
    ];
    for (name, old, new) in rows {
        if old != new {
            say(format_args!(
                "  {name:<8} {} -> {}",
                printable(&old),
                printable(&new)
            ));
        }
    }
}

/// `persea plugin remove`.
pub(super) fn remove(context: &Context, name: &str, of_user: bool) -> Result<u8, Failure> {
    let Locked {
        lock,
        of_user,
        entry,
    } = only(context, name, of_user)?;
    context.change_lock(of_user, |lock| {
        if lock.entries().iter().all(|there| *there != entry) {
            return Err(changed_meanwhile(&entry));
        }
        lock.remove(&entry.id());
        Ok(())
    })?;
    say(format_args!(
        "{} is no longer in {}",
        entry.id(),
        lock.path().display()
    ));
    Ok(exit::OK)
}
