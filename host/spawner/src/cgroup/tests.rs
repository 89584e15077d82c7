//! Tests what is written to and read from a cgroup, with ordinary directories in its place. The
//! end-to-end tests have real ones.
#![allow(clippy::unwrap_used)]

use super::*;

fn hierarchy(version: Version, directory: &Path) -> Hierarchy {
    Hierarchy {
        version,
        directory: directory.to_path_buf(),
        memory: true,
        pids: true,
        cpu: true,
        cpuacct: true,
    }
}

fn place(version: Version, directory: &Path) -> Place {
    Place {
        hierarchy: hierarchy(version, directory),
        directory: directory.to_path_buf(),
        idle: directory.join(IDLE),
    }
}

const LIMITS: Limits = Limits {
    memory: Some(64 << 20),
    processes: Some(20),
    cpus: Some(500),
    disk: None,
};

#[test]
fn limits_are_written_as_each_version_has_them() {
    for (version, optional, expected) in [
        (
            Version::V1,
            "memory.memsw.limit_in_bytes",
            [
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "67108864"),
                ("pids.max", "21"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
            ]
            .as_slice(),
        ),
        (
            Version::V2,
            "memory.swap.max",
            &[
                ("memory.max", "67108864"),
                ("memory.swap.max", "0"),
                ("pids.max", "21"),
                ("cpu.max", "50000 100000"),
            ],
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(optional), "").unwrap();
        place(version, root.path()).set(&LIMITS).unwrap();
        for (file, text) in expected {
            let found = fs::read_to_string(root.path().join(file)).unwrap();
            assert_eq!(found, *text, "{file}");
        }
    }
}

#[test]
fn part_of_a_processor_is_as_large_as_the_kernel_wants() {
    for (thousandths, expected) in [
        (Some(2500), "250000 100000"),
        (Some(10), "1000 100000"),
        (Some(1), "1000 100000"),
        (None, "max 100000"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let place = place(Version::V2, root.path());
        place.set_cpus(thousandths).unwrap();
        assert_eq!(place.read("cpu.max").unwrap(), expected);
    }
}

#[test]
fn counters_are_read_as_each_version_has_them() {
    for (version, files) in [
        (
            Version::V1,
            [
                ("memory.max_usage_in_bytes", "4096\n"),
                (
                    "memory.oom_control",
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                ),
                ("cpuacct.usage", "6000000\n"),
                ("pids.events", "max 3\n"),
            ]
            .as_slice(),
        ),
        (
            Version::V2,
            &[
                ("memory.peak", "4096\n"),
                ("memory.events", "low 0\noom 7\noom_kill 2\n"),
                (
                    "cpu.stat",
                    "usage_usec 6000\nuser_usec 5000\nsystem_usec 1000\n",
                ),
                ("pids.events", "max 3\n"),
            ],
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        let place = place(version, root.path());
        let mut none = Counters::default();
        place.count(&mut none);
        assert_eq!(none, Counters::default());
        for (file, text) in files {
            fs::write(root.path().join(file), text).unwrap();
        }
        let mut found = Counters::default();
        place.count(&mut found);
        let expected = Counters {
            peak_memory: Some(4096),
            cpu: Some(Duration::from_millis(6)),
            memory_kills: 2,
            refused_processes: 3,
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn only_cgroups_of_ended_hosts_are_abandoned() {
    let parent = tempfile::tempdir().unwrap();
    let hierarchy = hierarchy(Version::V1, parent.path());
    let (living, lock) = make_locked(&hierarchy).unwrap();
    let (dead, released) = make_locked(&hierarchy).unwrap();
    fs::create_dir_all(dead.directory.join("test-1")).unwrap();
    fs::create_dir(parent.path().join("other")).unwrap();
    assert_eq!(remove_abandoned_in(parent.path()), 0);
    drop(released);
    assert_eq!(remove_abandoned_in(parent.path()), 1);
    assert!(living.directory.exists() && !dead.directory.exists());
    assert!(parent.path().join("other").exists());
    drop(lock);
}
