//! Owns the choice of the compiler for WebAssembly, and the command line of cargo with it.

use crate::error::Error;
use crate::{Target, cargo, environment};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A compiler for one WebAssembly target.
#[derive(Clone, Debug)]
pub struct Toolchain {
    target: Target,
    compiler: Compiler,
}

#[derive(Clone, Debug)]
enum Compiler {
    /// The compiler that builds everything else.
    Own,
    /// The compiler that `setup.sh` has put into this directory.
    Cached(PathBuf),
}

impl Toolchain {
    /// Finds a toolchain: the user's own if it has the target, or else that of `setup.sh`.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] if there is neither, [`Error::Start`] if there is no rustc at all.
    pub fn find(target: Target) -> Result<Self, Error> {
        let mut rustc = own("RUSTC", "rustc");
        rustc.args(["--print", "target-libdir", "--target", target.triple()]);
        // rustc fails for a target that it does not know.
        let compiler = match cargo::output(&mut rustc, "rustc --print target-libdir") {
            Ok(directory) if Path::new(directory.trim_end()).is_dir() => Compiler::Own,
            Err(error @ Error::Start { .. }) => return Err(error),
            _ => {
                let directory = cache_directory();
                if !directory.join("ready").is_file() {
                    return Err(Error::NoToolchain {
                        target,
                        searched: directory,
                    });
                }
                Compiler::Cached(directory)
            }
        };
        Ok(Self { target, compiler })
    }

    /// The target of the compiler.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether it is the user's own toolchain, and not that of `setup.sh`.
    pub fn is_own(&self) -> bool {
        matches!(self.compiler, Compiler::Own)
    }

    /// Returns the command of its cargo, with the environment variables that the target needs.
    pub(crate) fn cargo(&self) -> Command {
        let Compiler::Cached(root) = &self.compiler else {
            return own_cargo();
        };
        let mut cargo = Command::new(root.join("bin/cargo"));
        environment::remove_outer_build(&mut cargo);
        // RUSTC_BOOTSTRAP allows the unstable build-std: Debian has the standard library for these
        // targets as source only.
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", root.join("bin/rustc"))
            .env("LD_LIBRARY_PATH", root.join("lib"));
        match self.target {
            Target::Unknown => {
                cargo.env(
                    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
                    root.join("bin/wasm-ld"),
                );
            }
            Target::Wasip2 => {
                let mut flags = OsString::from("-Lnative=");
                flags.push(root.join("wasi"));
                // Separates flags; a blank could be part of a path.
                flags.push("\u{1f}-Clink-self-contained=no");
                let mut path = root.join("bin").into_os_string();
                for directory in env::var_os("PATH").iter() {
                    path.push(":");
                    path.push(directory);
                }
                cargo
                    .env("CARGO_ENCODED_RUSTFLAGS", flags)
                    .env(
                        "CARGO_TARGET_WASM32_WASIP2_LINKER",
                        root.join("bin/wasm-component-ld"),
                    )
                    .env("PATH", path);
            }
        }
        cargo
    }

    /// Returns the arguments that cargo needs for the target.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["--target", self.target.triple()];
        if !self.is_own() {
            arguments.push("-Zbuild-std=std,panic_abort");
        }
        arguments
    }
}

/// Returns the command of the user's own tool: the one that an outer cargo names, or the one in
/// PATH.
fn own(variable: &str, name: &str) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| name.into()));
    environment::remove_outer_build(&mut command);
    command
}

pub(crate) fn own_cargo() -> Command {
    let mut cargo = own("CARGO", "cargo");
    // The compiler that the user has chosen, or that an outer cargo uses.
    if let Some(rustc) = env::var_os("RUSTC") {
        cargo.env("RUSTC", rustc);
    }
    cargo
}

/// Returns the target triple of this machine.
pub(crate) fn host_triple() -> Result<String, Error> {
    let version = cargo::output(own("RUSTC", "rustc").arg("-vV"), "rustc -vV")?;
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).ok_or(Error::NoHost)
}

/// Returns the directory of the toolchain of `setup.sh`.
fn cache_directory() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("PERSEA_WASM_TOOLCHAIN").unwrap_or_else(|| {
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        cache.unwrap_or_default().join("persea/wasm-toolchain")
    })
}
