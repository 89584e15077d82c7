//! Owns the environment of a cargo that runs within another cargo. Does not know what is built.

use std::ffi::OsStr;
use std::process::Command;

/// Prefixes of variables that the inner cargo keeps although they begin with `CARGO_`: they say
/// where files and registries are, and do not describe the outer build. `CARGO_MAKEFLAGS` names the
/// job server, through which both builds share the processors.
const KEPT_PREFIXES: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
];

/// Prefixes of variables that describe the outer build: those of rustc, and what cargo, clippy,
/// nextest and coverage tools add. `RUSTUP_…` stays, so that the inner build uses the same
/// toolchain.
const REMOVED_PREFIXES: [&str; 10] = [
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
    REMOVED_PREFIXES.iter().any(&begins) && !KEPT_PREFIXES.iter().any(begins)
}

/// Removes the variables of an outer build from the environment of a command.
pub(crate) fn remove_outer_build(command: &mut Command) {
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
    fn variables_of_the_outer_build_are_removed_except_its_job_server() {
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
