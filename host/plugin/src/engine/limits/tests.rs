#![allow(clippy::unwrap_used)]
use super::*;
use crate::contract::limits as contract;
use persea_config::UserDirs;

fn limits_of(name: Option<&str>, settings: &[(&str, u64)], own: &[(&str, u64)]) -> Limits {
    let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    for (name, value) in settings {
        config.set_raw(name, *value);
    }
    let own = own
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.into()));
    let values = own.collect();
    let own = match name {
        Some(name) => OwnLimits::locked("runner.greet", name, &values),
        None => OwnLimits::asked(&values),
    };
    Limits::of(&config, World::Runner, name, &own)
}

fn limits(settings: &[(&str, u64)], own: &[(&str, u64)]) -> Limits {
    limits_of(Some("greet"), settings, own)
}

#[test]
fn narrowest_setting_wins() {
    let all = ("plugins.limits.memory_mb", 1);
    let world = ("plugins.runner.limits.memory_mb", 2);
    let own = ("plugins.runner.greet.limits.memory_mb", 4);
    let other = ("plugins.resolver.limits.memory_mb", 8);
    let memory =
        |settings: &[(&str, u64)], lock: &[(&str, u64)]| limits(settings, lock).memory as u64 / MIB;
    assert_eq!(memory(&[], &[]), 256);
    assert_eq!(memory(&[all, other], &[]), 1);
    assert_eq!(memory(&[all, world], &[]), 2);
    assert_eq!(memory(&[all, world], &[("memory_mb", 3)]), 3);
    assert_eq!(memory(&[all, world, own], &[("memory_mb", 3)]), 4);
}

#[test]
fn no_default_is_zero() {
    let limits = limits(&[], &[]);
    let all = [
        limits.memory as u64,
        limits.table_elements as u64,
        limits.core_instances as u64,
        limits.call_bytes as u64,
        limits.handles as u64,
        limits.log_messages,
        limits.log_bytes,
        limits.status_messages,
        limits.status_bytes,
        limits.cases,
        limits.case_bytes,
        limits.report_bytes,
        limits.component_bytes,
        limits.compile_time.as_secs(),
        limits.describe.as_secs(),
        limits.compile_memory,
        limits.stack,
        limits.deaths,
        limits.ticks().unwrap(),
    ];
    assert!(all.iter().all(|limit| *limit > 0), "{all:?}");
}

#[test]
fn time_for_an_answer_is_set_at_the_same_places() {
    let world = ("plugins.runner.timeout", 2);
    let own = ("plugins.runner.greet.timeout", 4);
    let seconds = |settings: &[(&str, u64)], lock: &[(&str, u64)]| {
        limits(settings, lock).wall.map(|wall| wall.as_secs())
    };
    assert_eq!(seconds(&[], &[]), Some(600));
    assert_eq!(seconds(&[world], &[]), Some(2));
    assert_eq!(seconds(&[world], &[("timeout", 3)]), Some(3));
    assert_eq!(seconds(&[world, own], &[("timeout", 3)]), Some(4));
    assert_eq!(seconds(&[world], &[("timeout", 0)]), None);
}

#[test]
fn lister_and_runner_have_times_of_their_own() {
    let mut config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    config.set_raw("plugins.lister.timeout", 3);
    let wall = |world| Limits::of(&config, world, None, &OwnLimits::none());
    let seconds = |world| wall(world).wall.map(|wall| wall.as_secs());
    assert_eq!(seconds(World::Lister), Some(3));
    assert_eq!(seconds(World::Runner), Some(600));
    let report = wall(World::Lister).reached_wall().to_string();
    assert!(
        report.ends_with("3 s: `plugins.lister.timeout` raises it"),
        "{report}"
    );
}

#[test]
fn reached_limit_names_its_value_and_the_setting_that_raises_it() {
    let all = ("plugins.limits.memory_mb", 1);
    let world = ("plugins.runner.limits.memory_mb", 2);
    let own = ("plugins.runner.greet.limits.memory_mb", 4);
    let lock: &[(&str, u64)] = &[("memory_mb", 3)];
    let report = |limits: Limits, mebibytes: u64| {
        let text = limits.reached(Limit::Memory).to_string();
        let start = format!("its limit on memory, {mebibytes} MiB: ");
        text.strip_prefix(&start).unwrap().to_owned()
    };
    let (in_all, in_world) = (
        "plugins.limits.memory_mb",
        "plugins.runner.limits.memory_mb",
    );
    let in_plugin = "plugins.runner.greet.limits.memory_mb";
    assert_eq!(
        report(limits(&[all], &[]), 1),
        format!("`{in_all}` raises it, or `{in_plugin}` alone")
    );
    assert_eq!(
        report(limits(&[all, world], &[]), 2),
        format!("`{in_world}` raises it, or `{in_plugin}` alone")
    );
    assert_eq!(
        report(limits(&[all, world], lock), 3),
        "`persea plugin update runner.greet --limit memory_mb=…` raises it"
    );
    assert_eq!(
        report(limits(&[all, world, own], lock), 4),
        format!("`{in_plugin}` raises it")
    );
    // Until the plugin is described, its own setting cannot be named.
    assert_eq!(
        report(limits_of(None, &[all], &[]), 1),
        format!("`{in_all}` raises it, or `{in_world}` alone")
    );
    assert_eq!(
        report(limits_of(None, &[all, world, own], &[]), 2),
        format!("`{in_world}` raises it")
    );
    assert_eq!(bytes(1536), "1536 bytes");
    assert_eq!(bytes(64 << 10), "64 KiB");
}

#[test]
fn exceeded_time_names_its_value_and_the_setting_that_raises_it() {
    let own = ("plugins.runner.greet.timeout", 4);
    let lock: &[(&str, u64)] = &[("timeout", 3)];
    let report = |limits: Limits| limits.reached_wall().to_string();
    let time = "its limit on the time without a process";
    assert_eq!(
        report(limits(&[], &[])),
        format!(
            "{time}, 600 s: `plugins.runner.timeout` raises it, or \
             `plugins.runner.greet.timeout` alone"
        )
    );
    assert_eq!(
        report(limits_of(None, &[], &[])),
        format!("{time}, 600 s: `plugins.runner.timeout` raises it")
    );
    assert_eq!(
        report(limits(&[], lock)),
        format!("{time}, 3 s: `persea plugin update runner.greet --limit timeout=…` raises it")
    );
    assert_eq!(
        report(limits(&[own], lock)),
        format!("{time}, 4 s: `plugins.runner.greet.timeout` raises it")
    );
}

#[test]
fn shared_limit_cannot_be_set_for_one_plugin() {
    let error = check_limit("stack_kb", &Value::from(1)).unwrap_err();
    assert_eq!(
        error,
        "no plugin has a limit `stack_kb` of its own, because all plugins share one: the setting \
         `plugins.limits.stack_kb`"
    );
    assert_eq!(check_limit("timeout", &Value::from("5m")), Ok(()));
    assert!(check_limit("timeout", &Value::from("soon")).is_err());
}

/// Reads a number as the SDK's source writes it: `20_000`, `16 << 20`, `usize::try_from(4_u64 <<
/// 30)`.
fn number(written: &str) -> u64 {
    let number = written.trim().trim_start_matches("usize::try_from(");
    let number = number.split([')', ',']).next().unwrap_or_default();
    let plain = |text: &str| {
        let digits = text.replace("u64", "").replace('_', "");
        digits.trim().parse::<u64>().unwrap()
    };
    match number.split_once("<<") {
        Some((left, right)) => plain(left) << plain(right),
        None => plain(number),
    }
}

#[test]
fn fake_host_of_the_sdk_has_the_same_limits() {
    let source = include_str!("../../../../../plugin-sdk/src/testing/limits.rs");
    let (_, defaults) = source.split_once("fn default() -> Self {").unwrap();
    let own = limits(&[], &[]);
    for (field, limit) in [
        ("log_messages", own.log_messages),
        ("log_bytes", own.log_bytes),
        ("status_messages", own.status_messages),
        ("status_bytes", own.status_bytes),
        ("handles", own.handles as u64),
        ("report_bytes", own.report_bytes),
        ("pollables", POLLABLES.most as u64),
        ("downloads", DOWNLOADS.most as u64),
        ("page_runnables", contract::RUNNABLES.most as u64),
        ("page_variations", contract::VARIATIONS.most as u64),
        ("cache_names", contract::CACHE_NAMES.most as u64),
        ("cache_bytes", contract::CACHE_VALUE.most as u64),
        ("directory_entries", contract::DIRECTORY_ENTRIES.most as u64),
    ] {
        let line = defaults.lines().find_map(|line| {
            let line = line.trim().strip_prefix(field)?;
            line.strip_prefix(": ")
        });
        assert_eq!(number(line.unwrap()), limit, "{field}");
    }
}
