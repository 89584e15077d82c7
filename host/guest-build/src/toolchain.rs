//! Finds the compiler that makes guests, and says how cargo is to be called with it.

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
    /// The one that builds everything else.
    Own,
    /// The one that `setup.sh` made, in this directory.
    Cached(PathBuf),
}

impl Toolchain {
    /// Finds a toolchain: the user's own, if it has the target, else the one that `setup.sh` made.
    ///
    /// # Errors
    /// [`Error::NoToolchain`] where there is neither, [`Error::Start`] where there is no rustc at all.
    pub fn find(target: Target) -> Result<Self, Error> {
        let mut rustc = own("RUSTC", "rustc");
        rustc.args(["--print", "target-libdir", "--target", target.triple()]);
        // A rustc that doesn't know the target fails: it hasn't got it.
        let compiler = match cargo::output(&mut rustc, "rustc --print target-libdir") {
            Ok(directory) if Path::new(directory.trim_end()).is_dir() => Compiler::Own,
            Err(error @ Error::Start { .. }) => return Err(error),
            _ => {
                let looked = cached();
                if !looked.join("ready").is_file() {
                    return Err(Error::NoToolchain { target, looked });
                }
                Compiler::Cached(looked)
            }
        };
        Ok(Self { target, compiler })
    }

    /// What it compiles for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether it is the user's own, and not the one that `setup.sh` made.
    pub fn is_own(&self) -> bool {
        matches!(self.compiler, Compiler::Own)
    }

    /// Its cargo, in an environment in which it builds for the target. It affects no other process.
    pub(crate) fn cargo(&self) -> Command {
        let Compiler::Cached(root) = &self.compiler else {
            return own_cargo();
        };
        let mut cargo = Command::new(root.join("bin/cargo"));
        environment::clean(&mut cargo);
        // The unstable build-std, because Debian has the library for this target as source only.
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
                // Between flags; a blank would not do in a path.
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

    /// What cargo's command line needs for this target.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["--target", self.target.triple()];
        if !self.is_own() {
            arguments.push("-Zbuild-std=std,panic_abort");
        }
        arguments
    }
}

/// The user's own tool: the one that an outer cargo names, or the one in PATH.
fn own(variable: &str, name: &str) -> Command {
    let mut command = Command::new(env::var_os(variable).unwrap_or_else(|| name.into()));
    environment::clean(&mut command);
    command
}

pub(crate) fn own_cargo() -> Command {
    let mut cargo = own("CARGO", "cargo");
    // A compiler that the user has chosen, or that an outer cargo uses.
    if let Some(rustc) = env::var_os("RUSTC") {
        cargo.env("RUSTC", rustc);
    }
    cargo
}

/// The triple of the machine that compiles, as rustc says it.
pub(crate) fn host_triple() -> Result<String, Error> {
    let says = cargo::output(own("RUSTC", "rustc").arg("-vV"), "rustc -vV")?;
    let triple = says.lines().find_map(|line| line.strip_prefix("host: "));
    triple
        .map(str::to_owned)
        .ok_or_else(|| Error::NothingBuilt {
            what: "line with its host",
            package: "`rustc -vV`".into(),
            kind: "known",
        })
}

/// Where `setup.sh` puts its toolchain.
fn cached() -> PathBuf {
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
