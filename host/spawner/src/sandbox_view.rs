//! Owns what is seen in a sandbox: which overlays are mounted, and what lies over them. Does not know about its processes.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::SandboxSpawner;
use crate::EnvironmentState;
use crate::hidden::Mask;
use crate::mounts::Source;
use crate::private::{PrivateDirectory, SandboxLayer};

/// Mounts the overlays and becomes bubblewrap: the directory of layers, this sandbox's own in it, further mount options; of each directory
/// that can be written to its number, its path, and the layers over it; `--`, the paths that can only be read; `--`, and bubblewrap's
/// arguments.
///
/// The kernel takes no layer that lies within another, and layers are files of this machine. Seen through an overlay of its own,
/// their file system is another one. Where it makes no overlay of what can only be read, an empty directory is seen.
pub(super) const SCRIPT: &str = r#"set -e
fail() {
    echo "a layer can't be mounted: that takes overlayfs, and a directory for temporary files (TMPDIR) that is itself on no overlay" >&2
    exit 1
}
cd "$1"
own=$2 options=$3
shift 3
while [ "$1" != -- ]; do
    root=$own/root$1 lower=$2
    if [ -n "$3" ]; then
        mount -t tmpfs tmpfs "$root"
        mkdir "$root/empty" "$root/below"
        mount -t overlay overlay -o "lowerdir=$2:$root/empty$options" "$root/below" || fail
        lower=$3$root/below
    fi
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$own/upper$1,workdir=$own/work$1$options" "$root" || fail
    shift 3
done
shift
seen=$own/seen
[ "$1" = -- ] || {
    mount -t tmpfs tmpfs "$seen"
    mkdir "$seen/empty"
}
number=0
while [ "$1" != -- ]; do
    mkdir "$seen/$number"
    mount -t overlay overlay -o "lowerdir=$1:$seen/empty$options" "$seen/$number" 2>/dev/null || :
    number=$((number + 1))
    shift
done
shift
exec bwrap "$@"
"#;

/// Parts of `/proc` that belong to the machine and not to a process: they can only be read. A `/proc` of which parts are covered can't
/// be mounted anew in a namespace below either.
const OF_THE_KERNEL: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What the kernel tells about the machine, its devices and its keys: not there.
const UNSEEN: [&str; 17] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
];

impl SandboxSpawner {
    /// The script's own arguments.
    pub(super) fn layers(&self, layer: &SandboxLayer, is_root: bool) -> Vec<OsString> {
        let directory = layer.directory.parent().unwrap_or(&layer.directory);
        // In a user's own namespace the kernel takes other names for what an overlay notes of its files.
        let options = if is_root { "" } else { ",userxattr" };
        let mut all: Vec<OsString> = vec![directory.into(), (&layer.name).into(), options.into()];
        for (number, part) in self.layout.layered() {
            // The uppermost comes first. Their names begin in the directory of layers: of whole paths, mount's options hold few.
            let over = layer.below.iter().rev();
            let over: String = over
                .map(|it| format!("{}/upper{number}:", it.name))
                .collect();
            let lower = match part.source {
                Source::Empty => format!("{}/empty", layer.name).into(),
                Source::Layered | Source::Shown | Source::Bound => part.path.clone().into(),
            };
            all.extend([number.to_string().into(), lower, over.into()]);
        }
        all.push("--".into());
        let shown = self.layout.parts.iter();
        let shown = shown.filter(|part| part.source == Source::Shown);
        all.extend(shown.map(|part| part.path.clone().into()));
        all.push("--".into());
        all
    }

    /// What is seen in the sandbox, in bubblewrap's words.
    pub(super) fn view(
        &self,
        layer: &SandboxLayer,
        masks: &[Mask],
        state: &EnvironmentState,
        private: Option<&PrivateDirectory>,
    ) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |option: &str, paths: &[&OsStr]| {
            all.push(option.into());
            all.extend(paths.iter().map(|path| (*path).to_owned()));
        };
        let (mut written, mut read) = (0.., 0..);
        for part in &self.layout.parts {
            let path = part.path.as_os_str();
            let (numbers, place) = match part.source {
                Source::Layered | Source::Empty => (&mut written, "root"),
                Source::Shown => (&mut read, "seen/"),
                Source::Bound => {
                    add("--ro-bind-try", &[path, path]);
                    continue;
                }
            };
            let number: usize = numbers.next().unwrap_or_default();
            let place = format!("{}/{place}{number}", layer.name);
            add("--bind", &[place.as_ref(), path]);
        }
        for (path, target) in &self.layout.links {
            add("--symlink", &[target.as_os_str(), path.as_os_str()]);
        }
        add("--ro-bind", &["/sys".as_ref(), "/sys".as_ref()]);
        add("--dev", &["/dev".as_ref()]);
        add("--proc", &["/proc".as_ref()]);
        for path in OF_THE_KERNEL {
            add("--ro-bind-try", &[path.as_ref(), path.as_ref()]);
        }
        for path in UNSEEN.map(Path::new) {
            match path.metadata() {
                Ok(found) if found.is_dir() => add("--tmpfs", &[path.as_os_str()]),
                Ok(_) => add("--ro-bind", &["/dev/null".as_ref(), path.as_os_str()]),
                Err(_) => {}
            }
        }
        for mask in masks {
            match mask {
                Mask::Whiteout(..) => {}
                Mask::EmptyDirectory(path) => add("--tmpfs", &[path.as_os_str()]),
                Mask::NullDevice(path) => {
                    add("--ro-bind", &["/dev/null".as_ref(), path.as_os_str()]);
                }
            }
        }
        // Other sandboxes are nobody's business.
        if let Some(layers) = layer.directory.parent() {
            add("--tmpfs", &[layers.as_os_str()]);
        }
        for path in &self.hidden.shown {
            add("--ro-bind-try", &[path.as_os_str(), path.as_os_str()]);
        }
        // Not the work directory itself: what is mounted can't be removed.
        for path in state.writable_directory.iter().chain([&layer.place()]) {
            add("--bind", &[path.as_os_str(), path.as_os_str()]);
        }
        if let Some(private) = private {
            add(
                "--bind",
                &[private.path.as_os_str(), private.shown.as_os_str()],
            );
        }
        // Often a link into a directory that belongs to the running system.
        if state.network
            && let Ok(names) = Path::new("/etc/resolv.conf").canonicalize()
        {
            add("--ro-bind", &[names.as_os_str(), names.as_os_str()]);
        }
        add("--chdir", &[self.directory.as_os_str()]);
        all
    }
}
