//! What a cargo within a cargo may see of the outer one's environment. Knows nothing of what is built.

use std::ffi::OsStr;
use std::process::Command;

/// Of the variables that begin with `CARGO_`, these say where things are and how to reach them; the others describe the
/// outer build. `CARGO_MAKEFLAGS` is the job server: both builds share the processors.
const KEPT: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
];

/// `RUSTC`, `RUSTFLAGS`, their wrappers and kin; what cargo, clippy, nextest and coverage tools put on top of them.
/// `RUSTUP_…` stays: a build in a build is made with the same toolchain.
const REMOVED: [&str; 10] = [
    "CARGO_",
    "CLIPPY_",
    "DYLD_",
    "LD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
    "NEXTEST",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "__CARGO",
];

fn is_removed(name: &OsStr) -> bool {
    let begins = |start: &&str| name.as_encoded_bytes().starts_with(start.as_bytes());
    REMOVED.iter().any(&begins) && !KEPT.iter().any(begins)
}

/// Takes away from a command what an outer build has set.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if is_removed(&name) {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_build_leaves_no_trace_but_its_job_server() {
        let removed = [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            "CARGO_PROFILE_RELEASE_DEBUG",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_MANIFEST_DIR",
            "CARGO_INCREMENTAL",
            "CLIPPY_ARGS",
            "NEXTEST_RUN_ID",
            "LD_LIBRARY_PATH",
        ];
        let kept = [
            "CARGO_HOME",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MINE_TOKEN",
            "RUSTUP_TOOLCHAIN",
            "RUSTUP_HOME",
            "PATH",
            "HOME",
        ];
        assert_eq!(removed.map(|name| is_removed(OsStr::new(name))), [true; 18]);
        assert_eq!(kept.map(|name| is_removed(OsStr::new(name))), [false; 9]);
    }
}
