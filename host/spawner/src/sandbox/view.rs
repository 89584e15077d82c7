//! Owns the arguments that determine what a sandbox sees: the overlays to mount, and the mounts
//! over them. Does not know about the processes of the sandbox.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::SandboxSpawner;
use super::hidden::Mask;
use super::layer::SandboxLayer;
use super::mounts::Source;
use crate::EnvironmentState;
use crate::environment::private::PrivateDirectory;

/// The script that mounts the overlays and then executes bubblewrap. Its arguments are: the
/// directory of all layers, the name of this sandbox's layer, and further mount options; for each
/// writable part its number, its path, and the layers between; `--`; the paths of the read-only
/// parts; `--`; and the arguments of bubblewrap.
///
/// The kernel refuses an overlay whose parts contain each other, and the directory of layers is
/// itself among this machine's files. So the machine's files are first mounted as an overlay of
/// their own, which counts as another file system. If the kernel cannot make a read-only overlay,
/// the sandbox sees an empty directory there.
pub(crate) const SCRIPT: &str = r#"set -e
fail() {
    echo "cannot mount an overlay: it takes overlayfs, and a TMPDIR that is not on an overlay" >&2
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
    upper="upperdir=$own/upper$1,workdir=$own/work$1$options"
    mount -t overlay overlay -o "lowerdir=$lower,$upper" "$root" || fail
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

/// Parts of `/proc` that belong to the machine and not to a process: they are read-only. Covering
/// parts of `/proc` also prevents another mount of it in a nested namespace.
const OF_THE_KERNEL: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Paths with which the kernel exposes the machine, its devices and its keys: they are hidden.
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
    /// Returns the arguments of [`SCRIPT`], without those of bubblewrap.
    pub(crate) fn layers(&self, layer: &SandboxLayer, is_root: bool) -> Vec<OsString> {
        let directory = layer.directory.parent().unwrap_or(&layer.directory);
        // In a user namespace, an overlay can only store its metadata in `user.` attributes.
        let options = if is_root { "" } else { ",userxattr" };
        let mut all: Vec<OsString> = vec![directory.into(), (&layer.name).into(), options.into()];
        for (number, part) in self.layout.layered() {
            // The uppermost layer comes first. Paths are relative to the directory of layers,
            // because mount options are limited to a page.
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

    /// Returns the arguments of bubblewrap that determine what the sandbox sees.
    pub(crate) fn view(
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
        // Hides the other sandboxes.
        if let Some(layers) = layer.directory.parent() {
            add("--tmpfs", &[layers.as_os_str()]);
        }
        for path in &self.hidden.shown {
            add("--ro-bind-try", &[path.as_os_str(), path.as_os_str()]);
        }
        // The parent of the work directory, because a mount point itself cannot be removed.
        for path in state
            .writable_directory
            .iter()
            .chain([&layer.work_parent()])
        {
            add("--bind", &[path.as_os_str(), path.as_os_str()]);
        }
        if let Some(private) = private {
            add(
                "--bind",
                &[private.path.as_os_str(), private.shown.as_os_str()],
            );
        }
        // Often a link into /run, which a sandbox does not have.
        if state.network
            && let Ok(names) = Path::new("/etc/resolv.conf").canonicalize()
        {
            add("--ro-bind", &[names.as_os_str(), names.as_os_str()]);
        }
        add("--chdir", &[self.directory.as_os_str()]);
        all
    }
}
