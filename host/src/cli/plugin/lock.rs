//! Owns `persea plugin add`, `update` and `remove`: which plugins a lock binds. Does not know the
//! format of a lock.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::super::output::print_line;
use super::super::{Context, Failure, exit};
use super::component::{Component, REGISTRY, read_component, store_pulled};
use super::{overlap, provenance};
use persea_config::settings;
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::{Grant, Grants, Lock, LockEntry, OwnLimits, Plugin, Power};

/// The options of `add` and `update`.
#[derive(Debug, Args)]
pub(in super::super) struct LockOptions {
    /// Set one of the plugin's limits, such as `--limit memory_mb=512` (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    limit: Vec<String>,
    /// Change the user's lock, which is for all projects, instead of the project's
    #[arg(long)]
    user: bool,
}

impl LockOptions {
    /// The option that chooses the lock, for a command that is proposed to the user.
    fn lock_option(&self) -> &'static str {
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

/// A failure with the exit code of a wrong command line.
pub(super) fn failure(message: String) -> Failure {
    Failure::new(exit::FAIL, miette::miette!("{message}"))
}

fn entry(
    component: &Component,
    grants: Grants,
    limits: BTreeMap<String, Value>,
) -> Result<LockEntry, Failure> {
    let plugin = component.first()?;
    let roles = component.plugins.iter();
    Ok(LockEntry {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        contract: plugin.manifest.contract.to_string(),
        roles: roles
            .map(|plugin| (plugin.world, plugin.kinds.clone()))
            .collect(),
        source: component.source.clone(),
        sha256: plugin.digest.clone(),
        signature: component.signature.clone(),
        grants,
        limits,
    })
}

/// The roles of an entry with their kinds, for people.
fn roles(entry: &LockEntry) -> String {
    let roles = entry
        .roles
        .iter()
        .map(|(world, kinds)| match kinds.is_empty() {
            true => world.name().to_owned(),
            false => format!("{} ({})", world.name(), kinds.join(", ")),
        });
    roles.collect::<Vec<_>>().join(", ")
}

/// Whether a lock has this entry already.
///
/// # Errors
/// The lock has an entry of that name with other bytes, grants or limits.
fn is_locked(lock: &Lock, new: &LockEntry) -> Result<bool, Failure> {
    let Some(old) = lock.like(new).next() else {
        return Ok(false);
    };
    let id = old.id();
    if (&old.sha256, &old.grants, &old.limits) == (&new.sha256, &new.grants, &new.limits) {
        return Ok(true);
    }
    let help = format!("to lock another version or other grants: `persea plugin update {id}`");
    Err(Failure::new(
        exit::FAIL,
        miette::miette!(
            help = help,
            "{id} is already locked in {}, from {}",
            lock.path().display(),
            printable(&old.source)
        ),
    ))
}

/// The failure of a change to an entry that another host has changed since this one read it.
fn changed_meanwhile(entry: &LockEntry) -> Failure {
    Failure::new(
        exit::FAIL,
        miette::miette!(
            help = "look at the lock, and run the command again",
            "another persea has just changed the entry {} of the lock",
            entry.id()
        ),
    )
}

/// The failure of a plugin that asks for powers that are not granted, with the command that grants
/// them.
fn missing_grants(
    context: &Context,
    plugin: &Plugin,
    missing: &[&Power],
    command: &str,
) -> Failure {
    let spawner = context.config.get(settings::RUN_SPAWNER).name();
    let asks = missing
        .iter()
        .map(|power| format!("\n  {}: to {}", power.name, power.words));
    let grants = missing
        .iter()
        .filter_map(|power| power.grant)
        .map(|grant| format!(" --grant {}", grant.proposal(spawner)));
    let message = format!(
        "{} asks for powers that are not granted:{}",
        printable(plugin.label()),
        asks.collect::<String>()
    );
    let help = format!("to grant them: `{command}{}`", grants.collect::<String>());
    Failure::new(exit::FAIL, miette::miette!(help = help, "{message}"))
}

/// The failure of a grant that a plugin does not ask for: a later version could use it unnoticed.
fn useless_grants(plugin: &Plugin, useless: &[&Grant]) -> Failure {
    let names: Vec<&str> = useless.iter().map(|grant| grant.name).collect();
    failure(format!(
        "{} does not ask for {}: leave out the grant",
        printable(plugin.label()),
        names.join(", ")
    ))
}

/// Prints a new entry.
fn show(entry: &LockEntry) {
    let rows = [
        ("source", entry.source.clone()),
        ("version", entry.version.clone()),
        ("sha256", entry.sha256.clone()),
        ("roles", roles(entry)),
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
            print_line(format_args!("  {name:<8} {}", printable(&value)));
        }
    }
}

/// `persea plugin add`.
pub(super) async fn add(
    context: &Context,
    source: &str,
    options: &LockOptions,
) -> Result<u8, Failure> {
    let catalog = context.empty_catalog()?;
    let lock = context.lock(options.user)?;
    let limits = options.limits()?;
    let own = OwnLimits::asked(&limits);
    let component = read_component(&catalog, source, &lock, &own).await?;
    let plugin = component.first()?;
    let mut grants = context.grants.clone();
    let useless = plugin.manifest.remove_useless(&mut grants);
    if !useless.is_empty() {
        return Err(useless_grants(plugin, &useless));
    }
    let missing = plugin.manifest.missing(&grants);
    if !missing.is_empty() {
        return Err(missing_grants(
            context,
            plugin,
            &missing,
            &format!("persea plugin add {source}{}", options.lock_option()),
        ));
    }
    let new = entry(&component, grants, limits.clone())?;
    let reach = catalog.loader().check_reach(source, &lock, &new);
    reach.map_err(Failure::of)?;
    if is_locked(&lock, &new)? {
        print_line(format_args!(
            "{} is already locked in {}",
            new.id(),
            lock.path().display()
        ));
        return Ok(exit::OK);
    }
    let mut overlaps = Vec::new();
    for plugin in &component.plugins {
        overlaps.extend(overlap::overlaps(context, plugin).await?);
    }
    store_pulled(context, &new, &component.bytes)?;
    context.change_lock(options.user, |lock| {
        if !is_locked(lock, &new)? {
            lock.put(new.clone());
        }
        Ok(())
    })?;
    print_line(format_args!(
        "locked {} in {}",
        new.id(),
        lock.path().display()
    ));
    show(&new);
    for (word, line) in overlaps {
        print_line(format_args!("  {word:<8} {}", printable(&line)));
    }
    for power in &plugin.manifest.powers {
        print_line(format_args!("  may {}", power.words));
    }
    let words = component.plugins.iter();
    if let Some(words) = words.into_iter().find_map(|it| provenance(it, &new.grants)) {
        print_line(format_args!("  {words}"));
    }
    Ok(exit::OK)
}

/// An entry with its lock.
struct Locked {
    lock: Lock,
    /// Whether the lock is the user's.
    of_user: bool,
    entry: LockEntry,
}

/// Finds the one entry of a name: in the project's lock or the user's, or only in the user's.
///
/// # Errors
/// There is none, or one lock has several.
fn find_entry(context: &Context, name: &str, of_user: bool) -> Result<Locked, Failure> {
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
                let help = format!("write one of {}", ids.join(", "));
                let error =
                    miette::miette!(help = help, "several locked plugins are named `{name}`");
                return Err(Failure::new(exit::FAIL, error));
            }
        }
    }
    Err(Failure::new(
        exit::FAIL,
        miette::miette!(
            help = "`persea plugin verify` lists the locked plugins",
            "no locked plugin is named `{name}`"
        ),
    ))
}

/// `persea plugin update`.
pub(super) async fn update(
    context: &Context,
    name: &str,
    approve: bool,
    options: &LockOptions,
) -> Result<u8, Failure> {
    let catalog = context.empty_catalog()?;
    let Locked {
        lock,
        of_user,
        entry: old,
    } = find_entry(context, name, options.user)?;
    // By the tag, which may name a newer version. The digest always names the locked one.
    let source = match (old.registry(), lock.file_of(&old)) {
        (Some(pinned), _) => {
            let tag = pinned.split_once('@').map_or(pinned, |(tag, _)| tag);
            format!("{REGISTRY}{tag}")
        }
        (None, path) => path.unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut limits = old.limits.clone();
    limits.extend(options.limits()?);
    let own = old.own_limits_from(&limits);
    let component = read_component(&catalog, &source, &lock, &own).await?;
    let plugin = component.first()?;
    let mut grants = old.grants.clone();
    plugin.manifest.remove_useless(&mut grants);
    let mut asked = context.grants.clone();
    let useless = plugin.manifest.remove_useless(&mut asked);
    if !useless.is_empty() {
        return Err(useless_grants(plugin, &useless));
    }
    grants.replace(&asked);
    let missing = plugin.manifest.missing(&grants);
    let new = entry(&component, grants, limits.clone())?;
    if !lock.like(&new).any(|it| *it == old) {
        let help = format!(
            "`persea plugin remove {}`, then add the other plugin",
            old.id()
        );
        let error = miette::miette!(
            help = help,
            "the source of {} now has another plugin, {}",
            old.id(),
            new.id()
        );
        return Err(Failure::new(exit::FAIL, error));
    }
    let reach = catalog.loader().check_reach(&source, &lock, &new);
    reach.map_err(Failure::of)?;
    if new == old {
        print_line(format_args!("{} {} is unchanged", old.id(), old.version));
        return Ok(exit::OK);
    }
    print_difference(&old, &new);
    let command = format!("persea plugin update {}{}", old.id(), options.lock_option());
    if !missing.is_empty() {
        return Err(missing_grants(context, plugin, &missing, &command));
    }
    let more = more_than_locked(&old, &new);
    if !more.is_empty() && !approve {
        let help = format!("to approve them: `{command} --approve`");
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = help,
                "{} would be more than the locked version: {}",
                old.id(),
                printable(&more.join(", "))
            ),
        ));
    }
    store_pulled(context, &new, &component.bytes)?;
    context.change_lock(of_user, |lock| {
        if lock.entries().iter().all(|entry| *entry != old) {
            return Err(changed_meanwhile(&old));
        }
        lock.put(new);
        Ok(())
    })?;
    print_line(format_args!(
        "locked {} in {}",
        old.id(),
        lock.path().display()
    ));
    Ok(exit::OK)
}

/// Lists the roles and kinds that a new entry has in addition.
fn more_than_locked(old: &LockEntry, new: &LockEntry) -> Vec<String> {
    let mut more = Vec::new();
    for (world, kinds) in &new.roles {
        let world = world.name();
        match old.roles.iter().find(|(role, _)| role.name() == world) {
            None => more.push(format!("a {world}")),
            Some((_, locked)) => {
                let kinds = kinds.iter().filter(|kind| !locked.contains(kind));
                more.extend(kinds.map(|kind| format!("a {world} for `{kind}`")));
            }
        }
    }
    more
}

/// Prints the differences of two entries, a line each.
fn print_difference(old: &LockEntry, new: &LockEntry) {
    print_line(format_args!("{}", new.id()));
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
        ("roles", roles(old), roles(new)),
        ("granted", old.grants.to_string(), new.grants.to_string()),
        ("limits", limits(old), limits(new)),
    ];
    for (name, old, new) in rows {
        if old != new {
            print_line(format_args!(
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
    } = find_entry(context, name, of_user)?;
    context.change_lock(of_user, |lock| {
        if lock.entries().iter().all(|there| *there != entry) {
            return Err(changed_meanwhile(&entry));
        }
        lock.remove(&entry.id());
        Ok(())
    })?;
    print_line(format_args!(
        "{} is no longer in {}",
        entry.id(),
        lock.path().display()
    ));
    Ok(exit::OK)
}
