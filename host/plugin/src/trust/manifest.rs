//! What a component says of itself in its binary: its world, the versions it was built for, the powers it asks for.
//!
//! Reads names only, and nothing of the modules within; compiles and runs nothing. The format: the component model's binary, read with wasmparser.

use semver::Version;
use wasmparser::{Chunk, Encoding, Parser, Payload};

use crate::PluginError;
use crate::trust::grants::Power;

/// The package of the contract.
const PACKAGE: &str = "persea:plugin/";

/// What a runner exports whose tasks are one program each.
const PROGRAMS: &str = "run-program";

/// The version of the contract that this host offers.
pub const CONTRACT: &str = "0.1.0";

/// The kinds of plugins, one for each world of the contract.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// References to runnables.
    Resolver,
    /// Says in which variants a test is run.
    Varianter,
    /// Says which task starts next.
    Scheduler,
    /// Runs tasks.
    Runner,
    /// Checks, fulfils and releases requirements.
    RequirementResolver,
    /// Events to reports.
    ResultFormat,
}

impl World {
    /// All of them, in the order of the pipeline.
    pub const ALL: [Self; 6] = [
        Self::Resolver,
        Self::Varianter,
        Self::Scheduler,
        Self::RequirementResolver,
        Self::Runner,
        Self::ResultFormat,
    ];

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Varianter => "varianter",
            Self::Scheduler => "scheduler",
            Self::Runner => "runner",
            Self::RequirementResolver => "requirement-resolver",
            Self::ResultFormat => "result-format",
        }
    }

    /// The interfaces of which one makes a component a plugin of this world, by its export.
    const fn exports(self) -> &'static [&'static str] {
        match self {
            Self::Resolver => &["resolve"],
            Self::Varianter => &["vary"],
            Self::Scheduler => &["schedule"],
            Self::Runner => &["run", PROGRAMS],
            Self::RequirementResolver => &["fulfil"],
            Self::ResultFormat => &["format"],
        }
    }

    /// Whether the kind of a runnable or requirement says which of its plugins is asked.
    pub(crate) const fn is_chosen_by_kind(self) -> bool {
        matches!(self, Self::Runner | Self::RequirementResolver)
    }

    /// Whether others run what a plugin of this world says: a runnable, a parameter, a variable.
    pub const fn hands_out(self) -> bool {
        matches!(
            self,
            Self::Resolver | Self::Varianter | Self::RequirementResolver
        )
    }

    /// Whether what it says may have others use the network: by what a runnable requires, or by the processes of a requirement.
    const fn may_want_network(self) -> bool {
        matches!(self, Self::Resolver | Self::RequirementResolver)
    }

    /// The powers that a plugin of this world can ask for.
    pub(crate) const fn powers(self) -> &'static [&'static str] {
        match self {
            Self::Resolver | Self::Varianter => &["log", "workspace"],
            Self::Scheduler => &["log"],
            Self::Runner => &["log", "process", "status", "batch"],
            Self::RequirementResolver => &["log", "process", "status", "fetch", "cache"],
            Self::ResultFormat => &["log", "output"],
        }
    }
}

/// What a component's binary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The kind of plugin.
    pub world: World,
    /// The version of the contract that it was built for.
    pub contract: Version,
    /// The powers that it asks for, without the package, as `process`.
    pub powers: Vec<String>,
    /// Whether it imports WASI: it gets one in which there is nothing.
    pub wasi: bool,
    /// A runner that can run many tasks one after the other.
    pub batches: bool,
    /// A runner that says which program a task is, and what its end means.
    pub programs: bool,
}

impl Manifest {
    /// Whether it asks for the power to start processes.
    pub fn starts_processes(&self) -> bool {
        self.powers.iter().any(|power| power == "process")
    }

    /// Whether a power can be granted to it: it asks for that, or others use it at its word.
    pub(crate) fn can_use(&self, power: Power) -> bool {
        let asks = |power: Power| self.powers.iter().any(|asked| asked == power.name());
        match power {
            Power::Process => asks(power) || self.world.hands_out(),
            Power::Fetch => asks(power) || self.world.may_want_network(),
            Power::Workspace => asks(power),
            Power::Programs => asks(Power::Process),
            Power::Environment => asks(Power::Process) || self.wasi,
            Power::Directories => self.wasi,
        }
    }

    /// Reads a component; `plugin` names it in errors.
    pub fn read(plugin: &str, bytes: &[u8]) -> Result<Self, PluginError> {
        let names = names(plugin, bytes)?;
        let mut contract: Option<Version> = None;
        let mut world = None;
        for export in &names.exports {
            let Some((interface, version)) = ours(export) else {
                continue;
            };
            accept(plugin, export, version.as_ref())?;
            contract = contract.max(version);
            let found = World::ALL
                .into_iter()
                .find(|world| world.exports().contains(&interface));
            if let Some(found) = found
                && let Some(other) = world.replace(found)
            {
                let message = match other == found {
                    true => "it exports both `run` and `run-program`; a runner has one of them"
                        .to_owned(),
                    false => format!(
                        "it is both a {} and a {}; a plugin is of one world",
                        World::name(other),
                        found.name()
                    ),
                };
                return Err(PluginError::Load {
                    plugin: plugin.to_owned(),
                    message,
                });
            }
        }
        let exports = |wanted: &str| {
            let mut all = names.exports.iter().filter_map(|export| ours(export));
            all.any(|(name, _)| name == wanted)
        };
        let (Some(world), true) = (world, exports("plugin")) else {
            let found = if names.exports.is_empty() {
                "nothing".into()
            } else {
                list(&names.exports)
            };
            return Err(PluginError::NoWorld {
                plugin: plugin.to_owned(),
                exports: found,
            });
        };
        let mut powers = Vec::new();
        let mut wasi = false;
        for import in &names.imports {
            if import.starts_with("wasi:") {
                wasi = true;
                continue;
            }
            let refuse = || PluginError::Power {
                plugin: plugin.to_owned(),
                power: import.clone(),
                world: world.name(),
                offered: format!("it can ask for {}", list(world.powers())),
            };
            let (interface, version) = ours(import).ok_or_else(refuse)?;
            accept(plugin, import, version.as_ref())?;
            match interface {
                "types" => {}
                power if world.powers().contains(&power) => powers.push(power.to_owned()),
                _ => return Err(refuse()),
            }
        }
        let contract = contract.unwrap_or(Version::new(0, 0, 0));
        Ok(Self {
            world,
            contract,
            powers,
            wasi,
            batches: exports("run") && exports("run-batch"),
            programs: exports(PROGRAMS),
        })
    }
}

fn list<S: AsRef<str>>(names: &[S]) -> String {
    names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The interface and version in a name of our package: `persea:plugin/run@0.1.0`.
fn ours(name: &str) -> Option<(&str, Option<Version>)> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(match rest.split_once('@') {
        Some((interface, version)) => (interface, Version::parse(version).ok()),
        None => (rest, None),
    })
}

/// Compatible, as Semantic Versioning has it: the same major version from 1 on, the same minor version before; and not
/// newer than the host, which would lack what is new.
fn accept(plugin: &str, name: &str, version: Option<&Version>) -> Result<(), PluginError> {
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

/// The names of what the outermost component imports and exports.
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
            // What is in there is for the compiler.
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
    fn imports_are_the_powers_asked_for() {
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
        assert_eq!(manifest.powers, ["process", "log"]);
        assert!(!manifest.wasi);
    }

    #[test]
    fn a_resolver_gets_no_processes() {
        let error = read(
            &["persea:plugin/process@0.1.0"],
            &["persea:plugin/plugin@0.1.0", "persea:plugin/resolve@0.1.0"],
        )
        .unwrap_err();
        assert_eq!(
            error,
            "p.wasm asks for `persea:plugin/process@0.1.0`, which a resolver does not get: it can ask for `log`, `workspace`"
        );
    }

    #[test]
    fn another_version_says_what_it_needs_and_what_there_is() {
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
    fn what_is_no_plugin_says_what_it_is() {
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

    /// Names of interfaces, of the contract and of others.
    fn name() -> impl Strategy<Value = String> {
        let ours = "(types|plugin|run|run-batch|run-program|resolve|fulfil|format|log|process|status|batch|fetch|cache|output|workspace)";
        prop_oneof![
            4 => ours.prop_map(|name| format!("{PACKAGE}{name}@{CONTRACT}")),
            1 => (ours, "@[01]\\.[0-2]\\.[01]").prop_map(|(name, version)| format!("{PACKAGE}{name}{version}")),
            1 => "(wasi:cli/stdout@0\\.2\\.0|a:b/c|[a-z]{1,4})",
        ]
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        prop::collection::btree_set(name(), 0..5).prop_map(Vec::from_iter)
    }

    proptest! {
        /// A plugin gets what its world offers, whatever it asks for, and what it exports decides on the world.
        #[test]
        fn a_manifest_is_within_the_contract(imports in names(), exports in names()) {
            fn texts(names: &[String]) -> Vec<&str> {
                names.iter().map(String::as_str).collect()
            }
            if let Ok(manifest) = read(&texts(&imports), &texts(&exports)) {
                let offered = manifest.world.powers();
                prop_assert!(manifest.powers.iter().all(|power| offered.contains(&power.as_str())));
                let has = |interface: &&str| exports.contains(&format!("{PACKAGE}{interface}@{CONTRACT}"));
                let decisive: Vec<&str> = World::ALL.iter().flat_map(|world| world.exports()).copied().filter(has).collect();
                prop_assert_eq!(decisive.len(), 1);
                prop_assert!(has(&"plugin") && manifest.world.exports().contains(&decisive[0]));
                let strange = |name: &&String| !name.starts_with(PACKAGE) && !name.starts_with("wasi:");
                prop_assert_eq!(imports.iter().find(strange), None);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in any::<prop::sample::Index>()) {
            let _ = Manifest::read("p.wasm", &bytes);
            let whole = component(&["persea:plugin/log@0.1.0"], &["persea:plugin/plugin@0.1.0", "persea:plugin/run@0.1.0"]);
            let mut broken = whole[..cut.index(whole.len())].to_vec();
            broken.extend(bytes);
            let _ = Manifest::read("p.wasm", &broken);
        }
    }
}
