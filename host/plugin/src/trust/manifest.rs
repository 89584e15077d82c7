//! Owns what a component's binary says: the roles that it can have, the versions of the contract it
//! was built for, the powers it asks for. Reads the names of imports and exports only; compiles and
//! runs nothing.

use semver::Version;

use crate::contract::interface_name::{InterfaceName, PACKAGE};
use crate::contract::world::{CONTRACT, Role, World};
use crate::error::PluginError;
use crate::instance::grants::{Grant, Grants};
use crate::powers::descriptor::Power;
use crate::powers::{self, process, wasi};
use crate::tracks::TRACKS;
use crate::tracks::track::Track;
use crate::trust::binary::names;

/// What a component's binary says about it.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The newest version of the contract in the component's names: what it was built for.
    pub contract: Version,
    /// The least version of the contract that has all interfaces of the component.
    pub least: Version,
    /// The track of that version.
    pub(crate) track: &'static Track,
    /// The roles whose interfaces the component exports.
    pub exported: Vec<Role>,
    /// The powers of the contract that the component imports.
    pub powers: Vec<&'static Power>,
    /// Whether the component imports WASI.
    pub imports_wasi: bool,
    /// The interfaces that the component imports and that no host offers. Calls of them trap.
    pub refused: Vec<String>,
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

    /// Returns what the component can be for the host, by its exports. The first counts where one
    /// is needed before the component is described.
    pub fn worlds(&self) -> Vec<World> {
        worlds_of(&self.exported)
    }

    /// Returns the world whose limits hold until the component is described.
    pub(crate) fn first_world(&self) -> World {
        // A component without any role is not read.
        let first = self.worlds().first().copied();
        first.unwrap_or(World::Runner)
    }

    /// Whether the component can decide what other plugins run.
    pub(crate) fn shapes_tasks(&self) -> bool {
        self.worlds().into_iter().any(World::shapes_tasks)
    }

    /// Returns what the component can be, in words: `runner and resolver`.
    pub(crate) fn words(&self) -> String {
        worlds_in_words(&self.worlds())
    }

    /// Whether a grant has an effect: the component imports a power with it, or it limits what
    /// others do for the plugin.
    fn can_use(&self, grant: &Grant) -> bool {
        let mut grants = self.imports().flat_map(Power::grants);
        let limits = |world: World| grant.provenance.contains(&world);
        grants.any(|its| its == grant) || self.worlds().into_iter().any(limits)
    }

    /// Returns the powers that the component imports and that these grants do not grant.
    pub fn missing(&self, grants: &Grants) -> Vec<&'static Power> {
        let is_missing = |power: &Power| power.grant.is_some_and(|it| grants.of(it).is_empty());
        let all = powers::ALL.into_iter();
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
        Self::read_for(TRACKS, plugin, bytes)
    }

    /// Reads a component for a host with these tracks.
    pub(crate) fn read_for(
        tracks: &[&'static Track],
        plugin: &str,
        bytes: &[u8],
    ) -> Result<Self, PluginError> {
        let names = names(plugin, bytes)?;
        let mut reader = VersionReader {
            plugin,
            tracks,
            track: None,
            newest: None,
            least: None,
        };
        let exported = exported(&mut reader, &names.exports)?;
        let worlds = worlds_of(&exported);
        let is_offered = |power: &&'static Power| {
            let mut worlds = worlds.iter();
            worlds.any(|world| powers::offered(*world).any(|it| it == *power))
        };
        let offered: Vec<&'static Power> = powers::ALL.into_iter().filter(is_offered).collect();
        let mut powers = Vec::new();
        let mut imports_wasi = false;
        let mut refused = Vec::new();
        for import in &names.imports {
            match wasi_import(import) {
                Some(WasiImport::Offered) => {
                    imports_wasi = true;
                    continue;
                }
                Some(WasiImport::Refused) => {
                    refused.push(import.clone());
                    continue;
                }
                Some(WasiImport::OtherVersion) => {
                    return Err(PluginError::WasiVersion {
                        plugin: plugin.to_owned(),
                        import: import.clone(),
                    });
                }
                None => {}
            }
            let refuse = || PluginError::Power {
                plugin: plugin.to_owned(),
                power: import.clone(),
                world: worlds_in_words(&worlds).into(),
                offered: format!(
                    "it can ask for {}",
                    list(offered.iter().map(|power| power.name))
                ),
            };
            let name = InterfaceName::parse(import).ok_or_else(refuse)?;
            reader.needs(import, &name)?;
            if name.interface == "types" {
                continue;
            }
            let power = offered.iter().find(|power| power.name == name.interface);
            powers.push(*power.ok_or_else(refuse)?);
        }
        let (Some(track), Some(contract)) = (reader.track, reader.newest) else {
            return Err(no_world(plugin, &names.exports));
        };
        Ok(Self {
            least: reader.least.unwrap_or_else(|| contract.clone()),
            contract,
            track,
            exported,
            powers,
            imports_wasi,
            refused,
        })
    }
}

/// Reads the versions in a component's names of the contract.
struct VersionReader<'a> {
    plugin: &'a str,
    tracks: &'a [&'static Track],
    /// The track of the names so far.
    track: Option<&'static Track>,
    /// The newest version so far.
    newest: Option<Version>,
    /// The newest version so far that added an interface.
    least: Option<Version>,
}

impl VersionReader<'_> {
    /// Reads the version of a name. All names of a component are of one track.
    fn read(&mut self, whole: &str, name: &InterfaceName<'_>) -> Result<(), PluginError> {
        let mut tracks = self.tracks.iter().copied();
        let version = name.version.as_ref();
        let track = version.and_then(|version| tracks.find(|track| track.has(version)));
        let is_same = |track: &Track| self.track.is_none_or(|it| it.newest == track.newest);
        let Some(track) = track.filter(|track| is_same(track)) else {
            return Err(PluginError::Version {
                plugin: self.plugin.to_owned(),
                needs: whole.to_owned(),
                offers: CONTRACT,
            });
        };
        self.track = Some(track);
        self.newest = self.newest.take().max(version.cloned());
        let since = track.since(name.interface).cloned();
        self.least = self.least.take().max(since);
        Ok(())
    }

    /// Reads the name of an import, which the host must have.
    fn needs(&mut self, whole: &str, name: &InterfaceName<'_>) -> Result<(), PluginError> {
        self.read(whole, name)?;
        let Some(track) = self.track else {
            return Ok(());
        };
        let interface = || format!("{PACKAGE}{}", name.interface);
        let offers = || track.newest.to_string().into();
        match track.since(name.interface) {
            Some(since) if *since <= track.newest => Ok(()),
            Some(since) => Err(PluginError::Since {
                plugin: self.plugin.to_owned(),
                interface: interface(),
                since: since.to_string().into(),
                offers: offers(),
            }),
            // An interface that no version so far has is no reason to look for a newer host.
            None if name.version.as_ref().is_none_or(|it| *it <= track.newest) => Ok(()),
            None => Err(PluginError::Interface {
                plugin: self.plugin.to_owned(),
                interface: interface(),
                built_for: self
                    .newest
                    .as_ref()
                    .map(Version::to_string)
                    .unwrap_or_default()
                    .into(),
                offers: offers(),
            }),
        }
    }
}

/// Returns the roles whose interfaces a component exports. Exports that the host does not know are
/// ignored.
fn exported(reader: &mut VersionReader<'_>, exports: &[String]) -> Result<Vec<Role>, PluginError> {
    let mut roles = Vec::new();
    let mut describes = false;
    for export in exports {
        let Some(name) = InterfaceName::parse(export) else {
            continue;
        };
        reader.read(export, &name)?;
        describes |= name.interface == "plugin";
        roles.extend(Role::exporting(name.interface));
    }
    roles.sort();
    roles.dedup();
    match describes && !roles.is_empty() {
        true => Ok(roles),
        false => Err(no_world(reader.plugin, exports)),
    }
}

fn no_world(plugin: &str, exports: &[String]) -> PluginError {
    PluginError::NoWorld {
        plugin: plugin.to_owned(),
        exports: match exports {
            [] => "nothing".to_owned(),
            exports => list(exports),
        },
    }
}

/// What an import of WASI gets.
enum WasiImport {
    /// The inert interface of the host.
    Offered,
    /// Functions that trap.
    Refused,
    /// The component was built for a version of WASI that the host does not have at all.
    OtherVersion,
}

/// The packages of WASI 0.2 that the host offers.
const WASI_PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Returns what an import gets if it is one of WASI.
fn wasi_import(import: &str) -> Option<WasiImport> {
    let (package, rest) = import.strip_prefix("wasi:")?.split_once('/')?;
    let version = rest.split_once('@').map(|(_, version)| version);
    if version.is_some_and(|it| it.starts_with("0.3")) {
        return Some(WasiImport::OtherVersion);
    }
    Some(match WASI_PACKAGES.contains(&package) {
        true if version.is_some_and(|it| it == "0.2" || it.starts_with("0.2.")) => {
            WasiImport::Offered
        }
        true => WasiImport::OtherVersion,
        false => WasiImport::Refused,
    })
}

/// Returns what a component with these roles is for the host.
fn worlds_of(roles: &[Role]) -> Vec<World> {
    let mut worlds: Vec<World> = roles.iter().map(|role| role.world()).collect();
    worlds.sort();
    worlds.dedup();
    worlds
}

/// Names worlds with articles: `a resolver`, `a runner and a lister`.
fn worlds_in_words(worlds: &[World]) -> String {
    let all: Vec<String> = worlds.iter().map(|it| format!("a {}", it.name())).collect();
    all.join(" and ")
}

fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names
        .into_iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
