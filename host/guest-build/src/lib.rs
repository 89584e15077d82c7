//! Builds Persea's guests (plugins as WebAssembly components) and its static helper, for the host's
//! build script and the end-to-end tests. Does not know what a plugin does.
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
//!     overrides: &[],
//! })?;
//! for guest in built {
//!     println!("{}: {} bytes", guest.name, guest.component.len());
//! }
//! # Ok::<(), persea_guest_build::Error>(())
//! ```
//!
//! It runs within other runs of cargo: build scripts, tests, clippy, nextest. So its children do
//! not see the variables of the outer run, except the job server, and they need a target directory
//! of their own, because the outer run has locked its own.

mod cargo;
mod environment;
mod error;
mod toolchain;

pub use error::{Error, Tail};
pub use toolchain::Toolchain;

use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Ends a build script with this error and its causes, each line as an error of cargo's: a panic's
/// text would hide them.
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
    /// `wasm32-unknown-unknown`, without a system interface. The target of Persea's own plugins.
    Unknown,
    /// `wasm32-wasip2`, with WASI 0.2. The target of many other authors.
    Wasip2,
}

impl Target {
    /// The name that rustc has for the target.
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

/// Plugins to build.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The `Cargo.toml` of the plugin, or of the workspace with the plugins.
    pub manifest: &'a Path,
    /// The packages to build, all in one run of cargo, because that may have to build the standard
    /// library too. Empty for the package of the manifest.
    pub packages: &'a [&'a str],
    /// Cargo's profile: `plugin` in Persea's workspace, `release` elsewhere.
    pub profile: &'a str,
    /// Cargo's target directory. Not that of an outer cargo, which has locked it.
    pub target_dir: &'a Path,
    /// Directories of packages that take the place of the dependencies with their names, such as
    /// the unpacked result of [`package`].
    pub overrides: &'a [&'a Path],
}

/// A built plugin.
#[derive(Clone, Debug)]
pub struct Built {
    /// The package's name.
    pub name: String,
    /// The component. wit-component has validated it.
    pub component: Vec<u8>,
    /// The local source files of the plugin, for a build script to watch. Manifests and packages of
    /// registries are not among them.
    pub sources: Vec<PathBuf>,
}

impl Toolchain {
    /// Builds plugins and turns them into components. The result has the order of
    /// [`Guest::packages`].
    ///
    /// # Errors
    /// * [`Error::Failed`]: a package does not compile
    /// * [`Error::NothingBuilt`]: a package has no module, because it is not a `cdylib`
    /// * [`Error::Component`]: a module is not a plugin
    /// * [`Error::Start`], [`Error::Read`]: a tool or a file is missing
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
        for directory in guest.overrides {
            let directory = read(directory, |path| fs::canonicalize(path))?;
            command
                .arg("--config")
                .arg(format!("paths=[{directory:?}]"));
        }
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
            return Ok(vec![read_built(name, module)?]);
        }
        let packages = guest.packages.iter().map(|package| {
            let own = modules.iter().find(|(name, _, _)| name == package);
            let (name, _, module) = own.ok_or_else(|| nothing(package))?;
            read_built(name, module)
        });
        packages.collect()
    }
}

/// A native program to build.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The `Cargo.toml` of its workspace.
    pub manifest: &'a Path,
    /// The package, which has one program.
    pub package: &'a str,
    /// Cargo's profile: `helper` for Persea's helper.
    pub profile: &'a str,
    /// Cargo's target directory. Not that of an outer cargo, which has locked it.
    pub target_dir: &'a Path,
}

/// Builds a statically linked program for this machine, with the user's own compiler. Returns the
/// path of the program.
///
/// # Errors
/// * [`Error::Failed`]: the package does not compile
/// * [`Error::NothingBuilt`]: the package has no program
/// * [`Error::Start`], [`Error::Read`], [`Error::NoHost`]: a tool or a file is missing
pub fn build_static(program: &Program<'_>) -> Result<PathBuf, Error> {
    let manifest = read(program.manifest, |path| fs::canonicalize(path))?;
    let mut command = toolchain::own_cargo();
    // With --target, cargo does not apply the flag to build scripts and procedural macros.
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

/// Packages a crate as `cargo package` does, without a build of the result. The package is
/// `package/NAME-VERSION.crate` in the target directory.
///
/// # Errors
/// * [`Error::Failed`]: the crate cannot be packaged
/// * [`Error::Start`], [`Error::Read`]: a tool or a file is missing
pub fn package(manifest: &Path, target_dir: &Path) -> Result<(), Error> {
    let manifest = read(manifest, |path| fs::canonicalize(path))?;
    let mut command = toolchain::own_cargo();
    command.args(["package", "--quiet", "--no-verify", "--allow-dirty"]);
    // A test needs nothing of a registry that the build of the test did not have.
    command.args(["--locked", "--offline"]);
    command.arg("--manifest-path").arg(&manifest);
    command.arg("--target-dir").arg(target_dir);
    cargo::output(&mut command, "cargo package").map(drop)
}

/// Turns a core module into a component. The custom sections of the module have the worlds that it
/// was built for. A component is returned unchanged.
///
/// # Errors
/// The message of wit-component, if the module does not fit its worlds.
pub fn component(module: Vec<u8>) -> Result<Vec<u8>, String> {
    // The second half of the version field is the layer: 1 for a component, 0 for a core module.
    if module.get(4..8) == Some(&[0x0d, 0, 1, 0]) {
        return Ok(module);
    }
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true);
    let made = encoder.module(&module).and_then(|encoder| encoder.encode());
    made.map_err(|error| format!("{error:#}"))
}

fn read_built(name: &str, module: &Path) -> Result<Built, Error> {
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
