//! Builds Persea's guests (plugins as WebAssembly components) and its static helper, for the host's build script and the
//! end-to-end tests. It knows how to build, and nothing of what a plugin is.
//!
//! ```no_run
//! use persea_guest_build::{Guest, Target, Toolchain};
//! use std::path::Path;
//!
//! let built = Toolchain::find(Target::Unknown)?.build(&Guest {
//!     manifest: Path::new("Cargo.toml"),
//!     packages: &["persea-runner-noop", "persea-runner-exec-test"],
//!     profile: "plugin",
//!     target_dir: Path::new("target/guests"),
//! })?;
//! for guest in built {
//!     println!("{}: {} bytes", guest.name, guest.component.len());
//! }
//! # Ok::<(), persea_guest_build::Error>(())
//! ```
//!
//! It runs within other cargo runs: a build script, a test, clippy, nextest. So a child gets nothing of what the outer
//! run has set for itself but its job server, and must be given a target directory that the outer run has not locked.

mod cargo;
mod environment;
mod error;
mod toolchain;

pub use error::{Error, Tail};
pub use toolchain::Toolchain;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Ends a build script with this error and its causes, each line as an error of cargo's: a panic's text would hide them.
pub fn fail(error: &dyn std::error::Error) -> ! {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    for line in text.lines() {
        println!("cargo::error={line}");
    }
    std::process::exit(1);
}

/// A WebAssembly target of rustc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `wasm32-unknown-unknown`: no system interface at all. What Persea's own plugins are built for.
    Unknown,
    /// `wasm32-wasip2`: with WASI 0.2, as many authors build.
    Wasip2,
}

impl Target {
    /// Its name.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.triple())
    }
}

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The `Cargo.toml` of the guest, or of the workspace that has it.
    pub manifest: &'a Path,
    /// The packages to build, all in one run of cargo, since the standard library may have to be built with them. None:
    /// the package of the manifest.
    pub packages: &'a [&'a str],
    /// Cargo's profile: `plugin` in Persea's workspace, `release` elsewhere.
    pub profile: &'a str,
    /// Where cargo works. Not the directory of an outer cargo: that is locked while it runs.
    pub target_dir: &'a Path,
}

/// A plugin that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The package's name.
    pub name: String,
    /// The component, validated.
    pub component: Vec<u8>,
    /// The files that it was made of, without the manifests and what comes from registries: what a build script watches.
    pub sources: Vec<PathBuf>,
}

impl Toolchain {
    /// Builds guests, and makes components of them, in the order in which their packages are named.
    ///
    /// # Errors
    /// [`Error::Failed`] where they don't compile, [`Error::Component`] where a module is no plugin,
    /// [`Error::NothingBuilt`] where a package makes no module.
    pub fn build(&self, guest: &Guest<'_>) -> Result<Vec<Built>, Error> {
        let manifest = read(guest.manifest, |path| fs::canonicalize(path))?;
        let mut command = self.cargo();
        command.args(["build", "--message-format=json-render-diagnostics"]);
        command
            .args(self.arguments())
            .args(["--profile", guest.profile]);
        command.arg("--manifest-path").arg(&manifest);
        command.arg("--target-dir").arg(guest.target_dir);
        command.args(guest.packages.iter().flat_map(|package| ["-p", package]));
        if cargo::is_locked(self.cargo(), &manifest)? {
            command.arg("--locked");
        }
        let messages = cargo::output(&mut command, "cargo build")?;
        let modules: Vec<(String, PathBuf, PathBuf)> = cargo::artifacts(&messages)
            .filter_map(|made| {
                let is_module = |file: &PathBuf| {
                    file.extension()
                        .is_some_and(|extension| extension == "wasm")
                };
                let module = made.files.into_iter().find(is_module)?;
                Some((made.package, made.manifest, module))
            })
            .collect();
        let nothing = |package: &dyn fmt::Display| Error::NothingBuilt {
            what: "module",
            package: package.to_string(),
            kind: "cdylib",
        };
        if guest.packages.is_empty() {
            let own = modules.iter().find(|(_, made_of, _)| *made_of == manifest);
            let (name, _, module) = own.ok_or_else(|| nothing(&guest.manifest.display()))?;
            return Ok(vec![built(name, module)?]);
        }
        let packages = guest.packages.iter().map(|package| {
            let own = modules.iter().find(|(name, _, _)| name == package);
            let (name, _, module) = own.ok_or_else(|| nothing(package))?;
            built(name, module)
        });
        packages.collect()
    }
}

/// A native program to build.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The `Cargo.toml` of the workspace that has it.
    pub manifest: &'a Path,
    /// Its package, with one program in it.
    pub package: &'a str,
    /// Cargo's profile: `helper` for Persea's helper.
    pub profile: &'a str,
    /// Where cargo works. Not the directory of an outer cargo: that is locked while it runs.
    pub target_dir: &'a Path,
}

/// Builds a program that needs no shared library, with the user's own compiler, for the machine that compiles.
///
/// # Errors
/// [`Error::Failed`] where it doesn't compile, [`Error::NothingBuilt`] where the package has no program.
pub fn build_static(program: &Program<'_>) -> Result<PathBuf, Error> {
    let manifest = read(program.manifest, |path| fs::canonicalize(path))?;
    let mut command = toolchain::own_cargo();
    // With --target, so that the flag is not put on build scripts and procedural macros.
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.args([
        "build",
        "--message-format=json-render-diagnostics",
        "--target",
    ]);
    command.arg(toolchain::host_triple()?);
    command.args(["--profile", program.profile, "-p", program.package]);
    command.arg("--manifest-path").arg(&manifest);
    command.arg("--target-dir").arg(program.target_dir);
    if cargo::is_locked(toolchain::own_cargo(), &manifest)? {
        command.arg("--locked");
    }
    let messages = cargo::output(&mut command, "cargo build")?;
    let executable = cargo::artifacts(&messages)
        .filter(|made| made.package == program.package)
        .find_map(|made| made.executable);
    executable.ok_or_else(|| Error::NothingBuilt {
        what: "program",
        package: program.package.to_owned(),
        kind: "bin",
    })
}

/// Makes a component of a core module whose custom sections hold the worlds that it was built against. A component is
/// given back as it is.
///
/// # Errors
/// What wit-component says where the module does not fit its worlds.
pub fn component(module: Vec<u8>) -> Result<Vec<u8>, String> {
    // A component's layer, in the second half of the version field, is 1; a core module's is 0.
    if module.get(4..8) == Some(&[0x0d, 0, 1, 0]) {
        return Ok(module);
    }
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true);
    let made = encoder.module(&module).and_then(|encoder| encoder.encode());
    made.map_err(|error| format!("{error:#}"))
}

fn built(name: &str, module: &Path) -> Result<Built, Error> {
    let component =
        component(read(module, |path| fs::read(path))?).map_err(|reason| Error::Component {
            package: name.to_owned(),
            reason,
        })?;
    let dep_info = read(&module.with_extension("d"), |path| fs::read_to_string(path))?;
    Ok(Built {
        name: name.to_owned(),
        component,
        sources: cargo::sources(&dep_info),
    })
}

fn read<T>(path: &Path, how: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, Error> {
    how(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
