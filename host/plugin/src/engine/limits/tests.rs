#![allow(clippy::unwrap_used)]
use super::*;

fn limits_of(name: Option<&str>, settings: &[(&str, u64)], own: &[(&str, u64)]) -> Limits {
    let mut config = Config::load(&config::UserDirs::from_env(), &[], &[]).unwrap();
    for (name, value) in settings {
        config.set_raw(name, *value);
    }
    let own = own
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.into()));
    let values = own.collect();
    let own = Own::under("persea plugin update runner.greet ", &values);
    Limits::of(&config, World::Runner, name, &own)
}

fn limits(settings: &[(&str, u64)], own: &[(&str, u64)]) -> Limits {
    limits_of(Some("greet"), settings, own)
}

#[test]
fn the_nearest_setting_wins() {
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
fn none_is_zero_by_mistake() {
    let limits = limits(&[], &[]);
    let all = [
        limits.memory as u64,
        limits.table_elements as u64,
        limits.instances as u64,
        limits.call_bytes as u64,
        limits.handles as u64,
        limits.log_messages,
        limits.log_bytes,
        limits.status_messages,
        limits.status_bytes,
        limits.output_bytes,
        limits.component_bytes,
        limits.compile.as_secs(),
        limits.describe.as_secs(),
        limits.compile_memory,
        limits.stack,
        limits.deaths,
        limits.ticks().unwrap(),
    ];
    assert!(all.iter().all(|limit| *limit > 0), "{all:?}");
}

#[test]
fn the_time_for_an_answer_is_set_as_the_others_are() {
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
fn a_limit_is_told_with_its_value_and_the_way_out_from_where_it_is() {
    let all = ("plugins.limits.memory_mb", 1);
    let world = ("plugins.runner.limits.memory_mb", 2);
    let own = ("plugins.runner.greet.limits.memory_mb", 4);
    let lock: &[(&str, u64)] = &[("memory_mb", 3)];
    let told = |limits: Limits| {
        let text = limits
            .reached("memory", bytes(64 << 20), "memory_mb")
            .to_string();
        text.strip_prefix("its limit on memory, 64 MiB: ")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        told(limits(&[all], &[])),
        "`plugins.limits.memory_mb` raises it, or `plugins.runner.greet.limits.memory_mb` alone"
    );
    assert_eq!(
        told(limits(&[all, world], &[])),
        "`plugins.runner.limits.memory_mb` raises it, or `plugins.runner.greet.limits.memory_mb` alone"
    );
    assert_eq!(
        told(limits(&[all, world], lock)),
        "`persea plugin update runner.greet --limit memory_mb=…` raises it"
    );
    assert_eq!(
        told(limits(&[all, world, own], lock)),
        "`plugins.runner.greet.limits.memory_mb` raises it"
    );
    // Before it has said its name.
    assert_eq!(
        told(limits_of(None, &[all], &[])),
        "`plugins.limits.memory_mb` raises it, or `plugins.runner.limits.memory_mb` alone"
    );
    assert_eq!(
        told(limits_of(None, &[all, world, own], &[])),
        "`plugins.runner.limits.memory_mb` raises it"
    );
    assert_eq!(bytes(1536), "1536 bytes");
    assert_eq!(bytes(64 << 10), "64 KiB");
}

#[test]
fn the_time_that_is_up_is_told_with_its_way_out() {
    let own = ("plugins.runner.greet.timeout", 4);
    let lock: &[(&str, u64)] = &[("timeout", 3)];
    let told = |limits: Limits| limits.reached_wall().to_string();
    let time = "its limit on the time without a process";
    assert_eq!(
        told(limits(&[], &[])),
        format!(
            "{time}, 600 s: `plugins.runner.timeout` raises it, or `plugins.runner.greet.timeout` alone"
        )
    );
    assert_eq!(
        told(limits_of(None, &[], &[])),
        format!("{time}, 600 s: `plugins.runner.timeout` raises it")
    );
    assert_eq!(
        told(limits(&[], lock)),
        format!("{time}, 3 s: `persea plugin update runner.greet --limit timeout=…` raises it")
    );
    assert_eq!(
        told(limits(&[own], lock)),
        format!("{time}, 4 s: `plugins.runner.greet.timeout` raises it")
    );
}

#[test]
fn what_is_one_for_all_is_no_plugins_own() {
    let error = check("stack_kb", &Value::from(1)).unwrap_err();
    assert_eq!(
        error,
        "no plugin has a limit `stack_kb` of its own, because it is one for all: the setting `plugins.limits.stack_kb`"
    );
    assert_eq!(check("timeout", &Value::from("5m")), Ok(()));
    assert!(check("timeout", &Value::from("soon")).is_err());
}
