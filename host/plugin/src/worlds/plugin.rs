//! Owns a loaded plugin: its description, its provenance, what may be done for it, and its
//! component. Does not know how a world is called, or which other plugins there are.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::contract::description::Part;
use crate::contract::setting::Setting;
use crate::contract::world::World;
use crate::engine::compiler::CompileIn;
use crate::engine::limits::Limits;
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::grants::{Grant, Grants};
use crate::powers::cache::CachePower;
use crate::powers::fetch::{self, HOSTS};
use crate::powers::process::{self, SPAWNERS};
use crate::tracks::linked::LinkedComponent;
use crate::trust::manifest::Manifest;
use crate::trust::provenance::{PluginOrigin, Trust};
use crate::worlds::program_instances::ProgramInstances;
use crate::worlds::runtime::Runtime;
use persea_config::Config;
use persea_model::Attributes;

/// A plugin that the host may call.
pub struct Plugin {
    /// What the plugin is here. A component of several worlds is several plugins.
    pub world: World,
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// What the plugin is, in one line.
    pub summary: String,
    /// The kinds that the plugin declares for this world.
    pub kinds: Vec<String>,
    /// The settings that the plugin understands.
    pub settings: Vec<Setting>,
    /// Further data of the plugin's role.
    pub more: Attributes,
    /// Whether a runner names and judges programs that the host runs.
    pub is_program_runner: bool,
    /// The kinds of which a runner also runs many tasks on one instance.
    pub batch_kinds: Vec<String>,
    /// What the author of the plugin should look at, a line each: what the host ignores.
    pub remarks: Vec<String>,
    /// The least version of the contract that the plugin needs.
    pub least_contract: String,
    /// What the plugin's binary says.
    pub manifest: Manifest,
    /// Where the plugin came from.
    pub origin: PluginOrigin,
    /// The SHA-256 of the component, as 64 hexadecimal digits.
    pub digest: String,
    /// The size of the component, in bytes.
    pub size: usize,
    /// Why the host may use the plugin.
    pub trust: Trust,
    pub(crate) context: Arc<PluginContext>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) component: PluginComponent,
    /// The idle instances of a program runner.
    pub(crate) program_instances: ProgramInstances,
}

/// The component of a plugin.
pub(crate) enum PluginComponent {
    /// It is linked.
    Linked(LinkedComponent),
    /// It is part of the host and has a cached description. It is linked at its first call.
    Embedded {
        bytes: &'static [u8],
        linked: OnceCell<LinkedComponent>,
    },
}

impl Plugin {
    /// Returns the plugin's name in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub fn label(&self) -> &str {
        &self.context.label
    }

    /// Whether the plugin can start processes in this world.
    pub fn starts_processes(&self) -> bool {
        self.manifest.starts_processes() && process::POWER.worlds.contains(&self.world)
    }

    /// Whether the plugin runs many tasks of a kind on one instance.
    pub fn runs_batches(&self, kind: &str) -> bool {
        self.batch_kinds.iter().any(|own| own == kind)
    }

    /// Returns the setting that the plugin declares under a name.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == name)
    }

    /// Returns the names of the settings that the plugin declares.
    pub fn setting_names(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|setting| setting.key.as_str())
    }

    /// Returns the values of the plugin's settings in the form in which it receives them: those of
    /// the configuration, or else the defaults.
    pub fn configured(&self, config: &Config) -> Attributes {
        let value = |setting: &Setting| {
            let value = match setting.configured(config) {
                Some((value, _)) => Some(setting.for_plugin(&value)),
                None => setting.default_for_plugin(),
            };
            Some((setting.key.clone(), value?))
        };
        self.settings.iter().filter_map(value).collect()
    }

    /// Returns the plugin's name with its world, as in settings and locks: `runner.tap`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.world.name(), self.name)
    }

    /// Returns the owner of the plugin's processes: none for the user, who trusts what is built in,
    /// or else the plugin's digest. Processes of different owners never share an environment.
    pub fn owner(&self) -> Option<&str> {
        (!self.is_built_in()).then_some(&*self.digest)
    }

    /// Returns what the plugin may use.
    pub fn limits(&self) -> &Limits {
        &self.context.limits
    }

    /// Returns what the plugin may do.
    pub fn grants(&self) -> &Grants {
        &self.context.grants
    }

    /// Whether the plugin is part of the host.
    pub fn is_built_in(&self) -> bool {
        self.trust == Trust::BuiltIn
    }

    /// Checks that processes of the plugin may run with a test's spawner: those that it starts, and
    /// those that others start for it (provenance).
    ///
    /// # Errors
    /// Why not, and what to type.
    pub fn may_use(&self, spawner: &str) -> Result<(), String> {
        self.check_spawner(spawner).map_err(|refusal| {
            let spawners = self.context.grants.spawners();
            let other = spawners.first().copied().unwrap_or_default();
            let SpawnerRefusal { reason, command } = refusal;
            format!(
                "{reason}, and the test's is `{spawner}`: use `--spawner {other}`, or `{command}`"
            )
        })
    }

    /// Checks that processes of the plugin may run with the spawner of an earlier job, to release
    /// what that job has left.
    ///
    /// # Errors
    /// Why not, and what to type.
    pub fn may_undo(&self, spawner: &str) -> Result<(), String> {
        self.check_spawner(spawner).map_err(|refusal| {
            let SpawnerRefusal { reason, command } = refusal;
            format!("{reason}, and what is left was made with `{spawner}`: `{command}`")
        })
    }

    fn check_spawner(&self, spawner: &str) -> Result<(), SpawnerRefusal> {
        let starts = self.starts_processes();
        if !(starts || self.world.shapes_tasks()) {
            return Ok(());
        }
        let spawners = self.context.grants.spawners();
        let is_one = |listed: &&str| *listed == "*" || *listed == spawner;
        if spawners.iter().any(is_one) {
            return Ok(());
        }
        let acts = match starts {
            true => "start processes",
            false => "have processes started",
        };
        let named: Vec<String> = spawners.iter().map(|name| format!("`{name}`")).collect();
        let reason = format!(
            "{} may {acts} with the spawner {} only",
            self.label(),
            named.join(" or ")
        );
        let more = [spawners.as_slice(), &[spawner]].concat();
        Err(SpawnerRefusal {
            reason,
            command: self.command_to_grant(&SPAWNERS, &more),
        })
    }

    /// Checks that isolated processes may use the network because of the plugin.
    ///
    /// # Errors
    /// Why not, and what to type.
    pub fn may_reach_network(&self) -> Result<(), String> {
        if self.context.grants.allows(&HOSTS, "*") {
            return Ok(());
        }
        Err(format!(
            "{} may not have processes reach the network: `{}` lets it",
            self.label(),
            self.command_to_grant(&HOSTS, &["*"]),
        ))
    }

    /// Whether meeting a requirement with the plugin takes the network: for downloads by the host,
    /// or for the plugin's processes.
    pub fn wants_network(&self) -> bool {
        self.manifest.has(&fetch::POWER) || self.processes_want_network()
    }

    /// Whether the plugin's processes need the network even where tests do not get it.
    pub fn processes_want_network(&self) -> bool {
        self.more.get("network") == Some(&true.into())
    }

    /// Returns the command that gives the plugin's lock entry these values of a grant.
    fn command_to_grant(&self, grant: &'static Grant, values: &[&str]) -> String {
        match (&self.origin, self.trust) {
            // The lock entry has to grant everything that the plugin is granted for this run.
            (PluginOrigin::File(path), Trust::Unlocked) => {
                let mut grants = self.context.grants.clone();
                self.manifest.remove_useless(&mut grants);
                let options = grants.options_with(grant, values);
                format!("persea plugin add {}{options}", path.display())
            }
            (PluginOrigin::File(_), Trust::Locked | Trust::BuiltIn)
            | (PluginOrigin::BuiltIn, _) => {
                let options = Grants::default().options_with(grant, values);
                format!("persea plugin update {}{options}", self.id())
            }
        }
    }

    /// Returns a kind that this resolver has made and not declared. A declared `*` is any kind; a
    /// built-in resolver may make any, because a recipe says which.
    pub fn undeclared<'a>(&self, mut kinds: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        if self.is_built_in() || self.kinds.iter().any(|own| own == "*") {
            return None;
        }
        kinds.find(|kind| !self.kinds.iter().any(|own| own == kind))
    }

    /// Returns the plugin's linked component, which the first call of an embedded plugin links.
    pub(crate) async fn linked(&self) -> Result<&LinkedComponent, PluginError> {
        match &self.component {
            PluginComponent::Linked(linked) => Ok(linked),
            PluginComponent::Embedded { bytes, linked } => match linked.get() {
                Some(linked) => Ok(linked),
                // Boxed so that the common future stays small.
                None => Box::pin(linked.get_or_try_init(|| self.link(bytes))).await,
            },
        }
    }

    /// Links the embedded component on a thread for computing: its compiled code may be missing.
    async fn link(&self, bytes: &'static [u8]) -> Result<LinkedComponent, PluginError> {
        let runtime = Arc::clone(&self.runtime);
        let (manifest, digest) = (self.manifest.clone(), self.digest.clone());
        let part = self.part();
        let label = self.label().to_owned();
        let linking = self.runtime.workers.handle().spawn(async move {
            let compiler = &runtime.compiler;
            let component = compiler.component(bytes, &digest, CompileIn::ThisProcess);
            let component = component.map_err(|error| error.of_plugin(&label))?;
            let component = runtime.link(&label, &manifest, &component)?;
            (manifest.track.link_part)(&label, &part, component)
        });
        let linked = linking.await;
        linked.unwrap_or_else(|_| Err(PluginError::loading_panicked(self.label())))
    }

    fn part(&self) -> Part {
        Part {
            world: self.world,
            kinds: self.kinds.clone(),
            more: self.more.clone(),
            is_program_runner: self.is_program_runner,
            batch_kinds: self.batch_kinds.clone(),
        }
    }

    /// Returns what the plugin keeps from job to job; none where nothing is kept.
    pub(crate) fn cache(&self) -> Option<CachePower> {
        let name = match self.trust {
            Trust::BuiltIn => self.id(),
            // Any plugin can have any name, so the cache belongs to these very bytes.
            Trust::Locked | Trust::Unlocked => {
                let digest = self.digest.get(..16).unwrap_or(&self.digest);
                format!("{}-{digest}", self.id())
            }
        };
        self.runtime.cache(&name)
    }

    /// Reports that the host has called the plugin as something else than it is.
    pub(crate) fn is_no(&self, what: &str) -> PluginError {
        PluginError::Load {
            plugin: self.label().to_owned(),
            message: format!("it is no {what}"),
        }
    }
}

/// Why processes of a plugin may not run with a spawner, and the command that grants it.
struct SpawnerRefusal {
    reason: String,
    command: String,
}
