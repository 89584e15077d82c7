//! Owns the environment variables with which cargo starts the tests of a package. They are those of
//! cargo 1.95 (`cargo test`), which a test in `tests/e2e/rust_libtest.rs` compares.

use crate::cargo::{BuildScript, Package};

/// What the variables of all packages are made of.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The path of cargo, if it is known.
    cargo: Option<String>,
    libraries: Libraries,
    scripts: Vec<ScriptOutput>,
    /// For each program of a package: the package, the program's name, its path.
    programs: Vec<(String, String, String)>,
}

/// What a build script has left for the tests of its package.
#[derive(Debug)]
struct ScriptOutput {
    /// The id of the package.
    package: String,
    /// The directory of its output.
    directory: String,
    /// The variables that it sets.
    variables: Vec<(String, String)>,
}

/// Where the loader looks for shared libraries.
#[derive(Debug)]
pub(crate) struct Libraries {
    /// The directories that build scripts name.
    pub(crate) linked: Vec<String>,
    /// The directory of the target's standard library, empty if it is unknown.
    pub(crate) standard: String,
    /// The directory of the compiler's libraries, empty if it is unknown.
    pub(crate) compiler: String,
    /// The value that the variable has already.
    pub(crate) inherited: String,
}

impl Surroundings {
    /// Surroundings without build scripts and programs.
    pub(crate) fn new(cargo: Option<String>, libraries: Libraries) -> Self {
        Self {
            cargo,
            libraries,
            scripts: Vec::new(),
            programs: Vec::new(),
        }
    }

    /// Adds what a build script has said.
    pub(crate) fn add_script(&mut self, script: &BuildScript) {
        for path in &script.linked_paths {
            let path = path.split_once('=').map_or(path.as_str(), |(_, path)| path);
            self.libraries.linked.push(path.to_owned());
        }
        self.scripts.push(ScriptOutput {
            package: script.package_id.clone(),
            directory: script.out_dir.clone(),
            variables: script.env.clone(),
        });
    }

    /// Adds a program, which integration tests may start.
    pub(crate) fn add_program(&mut self, package: &str, name: &str, path: &str) {
        let program = (package.to_owned(), name.to_owned(), path.to_owned());
        self.programs.push(program);
    }

    /// The variables for a test binary of a package.
    pub(crate) fn of(
        &self,
        id: &str,
        package: Option<&Package>,
        kind: &str,
        binary: &str,
    ) -> Vec<(String, String)> {
        let mut env = Vec::new();
        let mut set = |name: &str, value: &str| env.push((name.to_owned(), value.to_owned()));
        set("LD_LIBRARY_PATH", &self.library_path(binary));
        if let Some(cargo) = &self.cargo {
            set("CARGO", cargo);
        }
        if let Some(package) = package {
            set("CARGO_MANIFEST_DIR", directory_of(&package.manifest_path));
            set("CARGO_MANIFEST_PATH", &package.manifest_path);
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let (core, _) = package
                .version
                .split_once('+')
                .unwrap_or((&package.version, ""));
            let (core, pre) = core.split_once('-').unwrap_or((core, ""));
            let mut numbers = core.split('.');
            for (part, value) in [
                ("NAME", package.name.clone()),
                ("VERSION", package.version.clone()),
                (
                    "VERSION_MAJOR",
                    numbers.next().unwrap_or_default().to_owned(),
                ),
                (
                    "VERSION_MINOR",
                    numbers.next().unwrap_or_default().to_owned(),
                ),
                (
                    "VERSION_PATCH",
                    numbers.next().unwrap_or_default().to_owned(),
                ),
                ("VERSION_PRE", pre.to_owned()),
                ("AUTHORS", package.authors.join(":")),
                ("DESCRIPTION", text(&package.description)),
                ("HOMEPAGE", text(&package.homepage)),
                ("REPOSITORY", text(&package.repository)),
                ("LICENSE", text(&package.license)),
                ("LICENSE_FILE", text(&package.license_file)),
                ("RUST_VERSION", text(&package.rust_version)),
                ("README", text(&package.readme)),
            ] {
                // A process cannot have a zero byte in a variable; cargo leaves out nothing else.
                set(&format!("CARGO_PKG_{part}"), &value.replace('\0', ""));
            }
        }
        for script in self.scripts.iter().filter(|script| script.package == id) {
            let (directory, variables) = (&script.directory, &script.variables);
            set("OUT_DIR", directory);
            for (name, value) in variables {
                set(name, value);
            }
        }
        if matches!(kind, "test" | "bench") {
            for (_, name, path) in self.programs.iter().filter(|(of, _, _)| of == id) {
                set(&format!("CARGO_BIN_EXE_{name}"), path);
            }
        }
        env
    }

    /// The value of `LD_LIBRARY_PATH`: as cargo, with the directories of build scripts that lie in
    /// the target directory, those of the build, and those of the toolchain, for procedural macros.
    fn library_path(&self, binary: &str) -> String {
        let directory = directory_of(binary);
        let root = match directory.rsplit_once('/') {
            Some((root, "deps" | "examples")) => root,
            _ => directory,
        };
        let mut linked: Vec<&str> = self.libraries.linked.iter().map(String::as_str).collect();
        linked.retain(|path| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.starts_with('/'))
        });
        linked.sort_unstable();
        linked.dedup();
        let deps = format!("{root}/deps");
        let mut all = linked;
        all.extend([root, &deps]);
        let libraries = &self.libraries;
        all.push(&libraries.standard);
        // The cargo of rustup prepends this directory to the inherited ones, unless it is there.
        if !libraries
            .inherited
            .split(':')
            .any(|path| path == libraries.compiler)
        {
            all.push(&libraries.compiler);
        }
        all.push(&libraries.inherited);
        all.retain(|path| !path.is_empty());
        all.join(":")
    }
}

/// The directory of a file with an absolute path.
pub(crate) fn directory_of(path: &str) -> &str {
    path.rsplit_once('/')
        .map_or(".", |(directory, _)| directory)
}
