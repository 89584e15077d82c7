//! Owns what a component's binary says: its world, the versions it was built for, the powers it
//! asks for. Reads the names of imports and exports only; compiles and runs nothing. The format is
//! the component model's binary, read with wasmparser.

use semver::Version;
use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::contract::world::{CONTRACT, RUN_BATCH, RUN_PROGRAM, World};
use crate::error::PluginError;
use crate::instance::grants::{Grant, Grants};
use crate::powers::descriptor::Power;
use crate::powers::{offered, process, wasi};

/// The package of the contract.
const PACKAGE: &str = "persea:plugin/";

/// What a component's binary says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The kind of plugin.
    pub world: World,
    /// The version of the contract for which the component was built.
    pub contract: Version,
    /// The powers of the contract that the component imports.
    pub powers: Vec<&'static Power>,
    /// Whether the component imports WASI.
    pub imports_wasi: bool,
    /// Whether a runner also runs many tasks on one instance.
    pub runs_batches: bool,
    /// Whether a runner names and judges programs that the host runs.
    pub is_program_runner: bool,
}

impl Manifest {
    /// Whether the component imports a power.
    pub(crate) fn has(&self, power: &'static Power) -> bool {
        self.powers.contains(&power)
    }

    /// Whether the component imports the power to start processes.
    pub fn starts_processes(&self) -> bool {
        self.has(&process::POWER)
    }

    /// Returns what the component imports, the powers of the contract and WASI.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &'static Power> {
        let wasi = self.imports_wasi.then_some(&wasi::POWER);
        self.powers.iter().copied().chain(wasi)
    }

    /// Whether a grant has an effect: the component imports a power with it, or it limits what
    /// others do for the plugin.
    fn can_use(&self, grant: &Grant) -> bool {
        let mut grants = self.imports().flat_map(Power::grants);
        grants.any(|its| its == grant) || grant.provenance.contains(&self.world)
    }

    /// Returns the powers that the component imports and that these grants do not grant.
    pub fn missing(&self, grants: &Grants) -> Vec<&'static Power> {
        let is_missing = |power: &Power| power.grant.is_some_and(|it| grants.of(it).is_empty());
        let all = offered(self.world);
        all.filter(|power| self.has(power) && is_missing(power))
            .collect()
    }

    /// Removes grants that have no effect, and returns them: a later version of the plugin could
    /// use them without anybody's notice.
    pub fn remove_useless(&self, grants: &mut Grants) -> Vec<&'static Grant> {
        let all = std::mem::take(&mut grants.0);
        let (useful, useless): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(grant, _)| self.can_use(grant));
        grants.0 = useful;
        useless.into_iter().map(|(grant, _)| grant).collect()
    }

    /// Reads a component. `plugin` names it in errors.
    pub fn read(plugin: &str, bytes: &[u8]) -> Result<Self, PluginError> {
        let names = names(plugin, bytes)?;
        let (world, contract) = world(plugin, &names.exports)?;
        let mut powers = Vec::new();
        let mut imports_wasi = false;
        for import in &names.imports {
            if import.starts_with("wasi:") {
                imports_wasi = true;
                continue;
            }
            let refuse = || PluginError::Power {
                plugin: plugin.to_owned(),
                power: import.clone(),
                world: world.name(),
                offered: format!(
                    "it can ask for {}",
                    list(offered(world).map(|power| power.name))
                ),
            };
            let (interface, version) = of_contract(import).ok_or_else(refuse)?;
            check_version(plugin, import, version.as_ref())?;
            if interface == "types" {
                continue;
            }
            let power = offered(world).find(|power| power.name == interface);
            powers.push(power.ok_or_else(refuse)?);
        }
        Ok(Self {
            world,
            contract,
            powers,
            imports_wasi,
            runs_batches: names.exports("run") && names.exports(RUN_BATCH),
            is_program_runner: names.exports(RUN_PROGRAM),
        })
    }
}

/// Returns the world that exports make a component a plugin of, and the version of the contract.
fn world(plugin: &str, exports: &[String]) -> Result<(World, Version), PluginError> {
    let mut contract: Option<Version> = None;
    let mut world: Option<World> = None;
    let mut describes = false;
    for export in exports {
        let Some((interface, version)) = of_contract(export) else {
            continue;
        };
        check_version(plugin, export, version.as_ref())?;
        contract = contract.max(version);
        describes |= interface == "plugin";
        let found = World::ALL
            .into_iter()
            .find(|world| world.exports().contains(&interface));
        if let Some(found) = found
            && let Some(other) = world.replace(found)
        {
            let message = match other == found {
                true => {
                    "it exports both `run` and `run-program`; a runner has one of them".to_owned()
                }
                false => format!(
                    "it is both a {} and a {}; a plugin is of one world",
                    other.name(),
                    found.name()
                ),
            };
            return Err(PluginError::Load {
                plugin: plugin.to_owned(),
                message,
            });
        }
    }
    match (world, contract) {
        (Some(world), Some(contract)) if describes => Ok((world, contract)),
        _ => Err(PluginError::NoWorld {
            plugin: plugin.to_owned(),
            exports: match exports {
                [] => "nothing".to_owned(),
                exports => list(exports),
            },
        }),
    }
}

fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names
        .into_iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the interface and the version of a name in the contract's package:
/// `persea:plugin/run@0.1.0`.
fn of_contract(name: &str) -> Option<(&str, Option<Version>)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(match rest.split_once('@') {
        Some((interface, version)) => (interface, Version::parse(version).ok()),
        None => (rest, None),
    })
}

/// Checks that an interface's version is compatible as in Semantic Versioning (the same major
/// version from 1 on, the same minor version before), and not newer than the host's.
fn check_version(plugin: &str, name: &str, version: Option<&Version>) -> Result<(), PluginError> {
    let offered = Version::parse(CONTRACT).unwrap_or(Version::new(0, 0, 0));
    let fits = version.is_some_and(|needed| {
        needed.major == offered.major
            && (needed.major > 0 || needed.minor == offered.minor)
            && (needed.minor, needed.patch) <= (offered.minor, offered.patch)
            && needed.pre == offered.pre
    });
    if fits {
        return Ok(());
    }
    Err(PluginError::Version {
        plugin: plugin.to_owned(),
        needs: name.to_owned(),
        offers: CONTRACT,
    })
}

#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    /// Whether the component exports an interface of the contract.
    fn exports(&self, interface: &str) -> bool {
        let mut all = self.exports.iter().filter_map(|export| of_contract(export));
        all.any(|(name, _)| name == interface)
    }
}

/// Reads the names of what the outermost component imports and exports.
fn names(plugin: &str, bytes: &[u8]) -> Result<Names, PluginError> {
    let wrong = |found: String| PluginError::NotComponent {
        plugin: plugin.to_owned(),
        found,
    };
    let broken = |error: &wasmparser::BinaryReaderError| {
        wrong(if bytes.is_empty() {
            "the file is empty".to_owned()
        } else if !bytes.starts_with(b"\0asm") {
            "it does not begin as WebAssembly does".to_owned()
        } else {
            format!(
                "it is broken or cut off: {} (at byte {})",
                error.message(),
                error.offset()
            )
        })
    };
    let cut_off = || {
        let end = bytes.len();
        wrong(format!(
            "it is broken or cut off: it ends within a part of it (at byte {end})"
        ))
    };
    let mut names = Names::default();
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    loop {
        let chunk = parser.parse(rest, true).map_err(|error| broken(&error))?;
        let Chunk::Parsed { consumed, payload } = chunk else {
            return Err(cut_off());
        };
        rest = rest.get(consumed..).ok_or_else(cut_off)?;
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => {
                return Err(PluginError::CoreModule {
                    plugin: plugin.to_owned(),
                });
            }
            // The compiler checks what is inside.
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                let length = unchecked_range.end.saturating_sub(unchecked_range.start);
                let within = usize::try_from(length).ok();
                rest = within
                    .and_then(|length| rest.get(length..))
                    .ok_or_else(cut_off)?;
            }
            Payload::End(_) => return Ok(names),
            Payload::ComponentImportSection(section) => {
                for import in section {
                    names
                        .imports
                        .push(import.map_err(|error| broken(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    names
                        .exports
                        .push(export.map_err(|error| broken(&error))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::instance::wasi::DIRECTORIES;
    use crate::powers::{fetch, workspace};
    use proptest::prelude::*;

    fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        let mut wat = String::from("(component");
        for import in imports {
            wat.push_str(&format!("(import \"{import}\" (instance))"));
        }
        for export in exports {
            wat.push_str(&format!("(instance (export \"{export}\"))"));
        }
        wat.push(')');
        wat::parse_str(&wat).unwrap()
    }

    fn read(imports: &[&str], exports: &[&str]) -> Result<Manifest, String> {
        Manifest::read("p.wasm", &component(imports, exports)).map_err(|error| error.to_string())
    }

    #[test]
    fn imports_are_the_powers_of_a_component() {
        let manifest = read(
            &[
                "persea:plugin/types@0.1.0",
                "persea:plugin/process@0.1.0",
                "persea:plugin/log@0.1.0",
            ],
            &["persea:plugin/plugin@0.1.0", "persea:plugin/run@0.1.0"],
        )
        .unwrap();
        assert_eq!(manifest.world, World::Runner);
        let names: Vec<&str> = manifest.powers.iter().map(|power| power.name).collect();
        assert_eq!(names, ["process", "log"]);
        assert!(!manifest.imports_wasi);
    }

    #[test]
    fn resolver_that_imports_processes_is_refused() {
        let error = read(
            &["persea:plugin/process@0.1.0"],
            &["persea:plugin/plugin@0.1.0", "persea:plugin/resolve@0.1.0"],
        )
        .unwrap_err();
        assert_eq!(
            error,
            "p.wasm asks for `persea:plugin/process@0.1.0`, which a resolver does not get: it can \
             ask for `log`, `workspace`"
        );
    }

    #[test]
    fn incompatible_version_is_refused_with_both_versions() {
        for version in ["0.2.0", "1.0.0", "0.1.1", "0.1.0-rc.1"] {
            let run = format!("persea:plugin/run@{version}");
            let error = read(&[], &["persea:plugin/plugin@0.1.0", &run]).unwrap_err();
            assert!(
                error.contains(&format!(
                    "needs {run}, and this host offers persea:plugin@{CONTRACT}"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn file_that_is_no_plugin_is_refused_with_what_it_is() {
        let error = |bytes: &[u8]| Manifest::read("p.wasm", bytes).unwrap_err().to_string();
        assert!(error(b"").contains("the file is empty"));
        assert!(error(b"#!/bin/sh\n").contains("does not begin as WebAssembly does"));
        assert!(error(&wat::parse_str("(module)").unwrap()).contains("persea plugin pack"));
        let whole = component(
            &["persea:plugin/log@0.1.0"],
            &["persea:plugin/plugin@0.1.0", "persea:plugin/run@0.1.0"],
        );
        assert!(error(&whole[..whole.len() - 3]).contains("broken or cut off"));
        assert!(
            read(&[], &["a:b/c@1.0.0"])
                .unwrap_err()
                .contains("it exports `a:b/c@1.0.0`")
        );
        assert!(read(&[], &[]).unwrap_err().contains("it exports nothing"));
    }

    #[test]
    fn imported_powers_need_grants_and_other_grants_are_removed() {
        let manifest = read(
            &[
                "persea:plugin/log@0.1.0",
                "persea:plugin/process@0.1.0",
                "persea:plugin/fetch@0.1.0",
                "persea:plugin/cache@0.1.0",
            ],
            &["persea:plugin/plugin@0.1.0", "persea:plugin/fulfil@0.1.0"],
        )
        .unwrap();
        assert_eq!(
            manifest.missing(&Grants::default()),
            [&process::POWER, &fetch::POWER]
        );
        let grants = |texts: &[&str]| Grants::parse(texts).unwrap();
        let mut more = grants(&["process", "programs=git", "workspace", "directories=x"]);
        assert_eq!(manifest.missing(&more), [&fetch::POWER]);
        assert_eq!(
            manifest.remove_useless(&mut more),
            [&workspace::DIRECTORIES, &DIRECTORIES]
        );
        assert_eq!(more, grants(&["process", "programs=git"]));
        assert!(manifest.missing(&Grants::of_built_in()).is_empty());
    }

    /// Generates names of interfaces, of the contract and of others.
    fn name() -> impl Strategy<Value = String> {
        let ours = "(types|plugin|run|run-batch|run-program|resolve|fulfil|format|log|process|\
                    status|batch|fetch|cache|output|workspace)";
        prop_oneof![
            4 => ours.prop_map(|name| format!("{PACKAGE}{name}@{CONTRACT}")),
            1 => (ours, "@[01]\\.[0-2]\\.[01]")
                .prop_map(|(name, version)| format!("{PACKAGE}{name}{version}")),
            1 => "(wasi:cli/stdout@0\\.2\\.0|a:b/c|[a-z]{1,4})",
        ]
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::btree_set(name(), 0..5).prop_map(Vec::from_iter)
    }

    proptest! {
        /// Whatever a component imports, a plugin gets only what its world offers, and its exports
        /// decide its world.
        #[test]
        fn manifest_stays_within_the_contract(imports in names(), exports in names()) {
            fn texts(names: &[String]) -> Vec<&str> {
                names.iter().map(String::as_str).collect()
            }
            if let Ok(manifest) = read(&texts(&imports), &texts(&exports)) {
                let world = manifest.world;
                let mut powers = manifest.powers.iter();
                prop_assert!(powers.all(|power| offered(world).any(|it| it == *power)));
                let has = |interface: &&str| {
                    exports.contains(&format!("{PACKAGE}{interface}@{CONTRACT}"))
                };
                let all = World::ALL.iter().flat_map(|world| world.exports()).copied();
                let decisive: Vec<&str> = all.filter(has).collect();
                prop_assert_eq!(decisive.len(), 1);
                prop_assert!(has(&"plugin") && manifest.world.exports().contains(&decisive[0]));
                let strange = |name: &&String| {
                    !name.starts_with(PACKAGE) && !name.starts_with("wasi:")
                };
                prop_assert_eq!(imports.iter().find(strange), None);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            cut in any::<prop::sample::Index>()
        ) {
            let _ = Manifest::read("p.wasm", &bytes);
            let whole = component(
                &["persea:plugin/log@0.1.0"],
                &["persea:plugin/plugin@0.1.0", "persea:plugin/run@0.1.0"],
            );
            let mut broken = whole[..cut.index(whole.len())].to_vec();
            broken.extend(bytes);
            let _ = Manifest::read("p.wasm", &broken);
        }
    }
}
