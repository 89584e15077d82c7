//! Owns where the cgroups of a process are: the mounted hierarchies of both versions, and their
//! controllers. Does not make or change cgroups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use persea_model::Limit;

/// The version of a hierarchy. A machine may have hierarchies of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A cgroup in one hierarchy, and the controllers that can limit those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    pub(super) directory: PathBuf,
    pub(super) memory: bool,
    pub(super) pids: bool,
    pub(super) cpu: bool,
    /// Whether the hierarchy counts the use of processors, in version 1. Version 2 always does.
    pub(super) cpuacct: bool,
}

impl Hierarchy {
    fn with<'a>(
        version: Version,
        directory: PathBuf,
        controllers: impl Iterator<Item = &'a str> + Clone,
    ) -> Hierarchy {
        let has = |name: &str| controllers.clone().any(|it| it == name);
        Hierarchy {
            version,
            directory,
            memory: has("memory"),
            pids: has("pids"),
            cpu: has("cpu"),
            cpuacct: has("cpuacct"),
        }
    }

    /// Whether the hierarchy has a controller that is of use.
    pub(super) const fn has_any(&self) -> bool {
        self.memory || self.pids || self.cpu || self.cpuacct
    }

    pub(super) const fn can_limit(&self, limit: Limit) -> bool {
        match limit {
            Limit::Memory => self.memory,
            Limit::Processes => self.pids,
            Limit::Cpus => self.cpu,
            Limit::Disk => false,
        }
    }

    /// Turns the controllers on for cgroups below this one. In version 1 they always are.
    pub(super) fn enable_controllers(&self) {
        if self.version == Version::V1 {
            return;
        }
        let all = [
            (self.memory, "+memory"),
            (self.pids, "+pids"),
            (self.cpu, "+cpu"),
        ];
        for (_, name) in all.into_iter().filter(|(is_there, _)| *is_there) {
            // One at a time, since the kernel refuses all if it refuses one. Without a controller
            // its files are missing, and setting the limit fails.
            let _ = fs::write(self.directory.join("cgroup.subtree_control"), name);
        }
    }
}

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    version: Version,
    /// The cgroup that is mounted.
    root: PathBuf,
    path: PathBuf,
    /// The options of a hierarchy of version 1, among them its controllers.
    options: String,
}

/// Reads the table of mounts: see proc_pid_mountinfo(5).
fn mounted(table: &str) -> Vec<Mounted> {
    let parse = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, path) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let version = match system.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        Some(Mounted {
            version,
            root: root.into(),
            path: path.into(),
            options: system.nth(1).unwrap_or_default().to_owned(),
        })
    };
    table.lines().filter_map(parse).collect()
}

/// Returns the cgroups of a process, with the controllers that its cgroup itself has.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn of(process: &str) -> io::Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let groups = fs::read_to_string(Path::new("/proc").join(process).join("cgroup"))?;
    Ok(found(&mounted(&mounts), &groups))
}

fn found(mounts: &[Mounted], groups: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        // "4:memory:/path", in version 2 "0::/path": see cgroups(7).
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let version = match controllers {
            "" => Version::V2,
            _ => Version::V1,
        };
        let is_it = |it: &&Mounted| {
            let first = controllers.split(',').next();
            let mut options = it.options.split(',');
            it.version == version
                && (version == Version::V2 || options.any(|option| Some(option) == first))
        };
        let mount = mounts.iter().find(is_it)?;
        let below = Path::new(path).strip_prefix(&mount.root).ok()?;
        let directory = mount.path.join(below);
        match version {
            Version::V1 => {
                let controllers = controllers.split(',');
                Some(Hierarchy::with(version, directory, controllers))
            }
            Version::V2 => {
                let file = directory.join("cgroup.controllers");
                let controllers = fs::read_to_string(file).unwrap_or_default();
                let controllers = controllers.split_ascii_whitespace();
                Some(Hierarchy::with(version, directory, controllers))
            }
        }
    };
    groups.lines().filter_map(parse).collect()
}

/// Returns the cgroups in which this process may make others that limit something.
///
/// In version 2, the cgroup of this process has a process, and so cannot limit those below it,
/// unless it is the root. The nearest one above it that does is taken: under systemd the slice of
/// the session, or that of the user's services.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn for_children() -> io::Result<Vec<Hierarchy>> {
    let own = of("self")?.into_iter();
    let usable = own.filter_map(|hierarchy| match hierarchy.version {
        Version::V1 => Some(hierarchy),
        Version::V2 => {
            hierarchy.enable_controllers();
            limiting(&hierarchy.directory)
        }
    });
    Ok(usable.filter(Hierarchy::has_any).collect())
}

/// The nearest cgroup from this one upwards that limits those below it.
fn limiting(directory: &Path) -> Option<Hierarchy> {
    let of = |directory: &Path| {
        let file = directory.join("cgroup.subtree_control");
        let controllers = fs::read_to_string(file).ok()?;
        let controllers = controllers.split_ascii_whitespace();
        Some(Hierarchy::with(
            Version::V2,
            directory.to_path_buf(),
            controllers,
        ))
    };
    // Above the root of the hierarchy there is no such file.
    let all = directory.ancestors().map_while(of);
    all.into_iter().find(Hierarchy::has_any)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 /outer /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn cgroup_is_found_in_each_hierarchy_of_version_1() {
        let groups = "4:memory:/a/b\n3:cpu,cpuacct:/outer/c\n2:pids:/d\n1:name=systemd:/\n0::/e\n";
        let all = found(&mounted(MOUNTS), groups);
        let limiting: Vec<_> = all.iter().filter(|it| it.has_any()).collect();
        let [memory, cpu] = limiting[..] else {
            panic!("{all:?}");
        };
        assert_eq!(memory.directory, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert!(memory.can_limit(Limit::Memory) && !memory.can_limit(Limit::Cpus));
        assert_eq!(cpu.directory, Path::new("/sys/fs/cgroup/cpu,cpuacct/c"));
        assert!(cpu.can_limit(Limit::Cpus) && cpu.cpuacct && !cpu.memory);
    }

    #[test]
    fn cgroup_outside_of_what_is_mounted_is_left_out() {
        assert_eq!(found(&mounted(MOUNTS), "3:cpu,cpuacct:/elsewhere\n"), []);
        assert_eq!(found(&[], "4:memory:/a/b\n0::/\n"), []);
        assert_eq!(found(&mounted(MOUNTS), "odd\n\n4:memory\n"), []);
    }

    #[test]
    fn cgroup_of_version_2_is_the_nearest_that_limits_those_below() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("user.slice/session.scope");
        fs::create_dir_all(&deep).unwrap();
        for (directory, controllers) in [
            ("", "cpu memory pids"),
            ("user.slice", "memory pids"),
            ("user.slice/session.scope", ""),
        ] {
            let file = root.path().join(directory).join("cgroup.subtree_control");
            fs::write(file, controllers).unwrap();
        }
        let found = limiting(&deep).unwrap();
        assert_eq!(found.directory, root.path().join("user.slice"));
        assert!(found.memory && found.pids && !found.cpu);
        let outside = tempfile::tempdir().unwrap();
        assert_eq!(limiting(outside.path()), None);
    }
}
