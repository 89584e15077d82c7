//! A plugin that is loaded: what it says of itself, where it came from, and what may be done at its word. It must not know how it's called, or
//! which others there are.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::PluginError;
use crate::engine::limits::Limits;
use crate::find::sources::Trust;
use crate::instance::terms::Terms;
use crate::trust::grants::{Grants, Power};
use crate::trust::manifest::{Manifest, World};
use crate::worlds::linked::Pre;
use persea_model::Attributes;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the host.
    BuiltIn,
    /// A file in a directory of plugins.
    File(PathBuf),
}

/// A plugin that is ready to be called.
pub struct Plugin {
    /// Its world.
    pub world: World,
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it is, in a line.
    pub summary: String,
    /// The kinds that it declares.
    pub kinds: Vec<String>,
    /// The settings that it wants to see.
    pub settings: Vec<String>,
    /// What else it says of itself.
    pub more: Attributes,
    /// What its binary says.
    pub manifest: Manifest,
    /// Where it came from.
    pub origin: Origin,
    /// The SHA-256 of the component.
    pub digest: String,
    /// Its size, in bytes.
    pub size: usize,
    /// Why it may be used.
    pub trust: Trust,
    pub(crate) terms: Arc<Terms>,
    /// There from the first call on, where what it says of itself was known before.
    pub(crate) pre: OnceCell<Pre>,
}

impl Plugin {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub fn label(&self) -> &str {
        &self.terms.label
    }

    /// Who answers for its processes: the user where it is built in, else this very plugin. Those of one have no place among those of another.
    pub fn owner(&self) -> Option<&str> {
        (!self.is_built_in()).then_some(&*self.digest)
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.terms.limits
    }

    /// What it may do.
    pub fn grants(&self) -> &Grants {
        &self.terms.grants
    }

    /// Whether it is part of the host.
    pub fn is_built_in(&self) -> bool {
        self.trust == Trust::BuiltIn
    }

    /// Whether processes that are its act may be in environments of a job's spawner; if not, why and what can be done. Its act is what it
    /// starts, and what others start because it said so.
    pub fn may_use(&self, spawner: &str) -> Result<(), String> {
        self.is_granted(spawner).map_err(|(why, line)| {
            let spawners = self.terms.grants.spawners();
            let other = spawners.first().copied().unwrap_or_default();
            format!("{why}, and this job's is `{spawner}`: use `--spawner {other}`, or `{line}`")
        })
    }

    /// The same for what is to be undone where a job has left it.
    pub fn may_undo(&self, spawner: &str) -> Result<(), String> {
        self.is_granted(spawner).map_err(|(why, line)| {
            format!("{why}, and what is left was made with `{spawner}`: `{line}`")
        })
    }

    /// Whether its act may be with this spawner; if not, where it may be, and what to type.
    fn is_granted(&self, spawner: &str) -> Result<(), (String, String)> {
        let starts = self.manifest.starts_processes();
        let spawners = self.terms.grants.spawners();
        let is_one = |listed: &&str| *listed == "*" || *listed == spawner;
        if !(starts || self.world.hands_out()) || spawners.iter().any(is_one) {
            return Ok(());
        }
        let acts = match starts {
            true => "start processes",
            false => "have processes started",
        };
        let named: Vec<String> = spawners.iter().map(|name| format!("`{name}`")).collect();
        let why = format!(
            "{} may {acts} with the spawner {} only",
            self.label(),
            named.join(" or ")
        );
        let more = [spawners.as_slice(), &[spawner]].concat();
        Err((why, self.with_grant(Power::Process, &more)))
    }

    /// Whether the network may be used at its word, by what is isolated; if not, why and what can be done.
    pub fn may_reach_network(&self) -> Result<(), String> {
        if self.terms.grants.allows(Power::Fetch, "*") {
            return Ok(());
        }
        Err(format!(
            "{} may not have processes reach the network: `{}` lets it",
            self.label(),
            self.with_grant(Power::Fetch, &["*"]),
        ))
    }

    /// Whether meeting a requirement with it takes the network: by the host's downloads, or by its processes.
    pub fn wants_network(&self) -> bool {
        let downloads = self.manifest.powers.iter().any(|power| power == "fetch");
        downloads || self.processes_want_network()
    }

    /// Whether its processes need the network, also where tests don't have it.
    pub fn processes_want_network(&self) -> bool {
        self.more.get("network") == Some(&true.into())
    }

    /// What to type for its lock to grant it this of a power.
    fn with_grant(&self, power: Power, values: &[&str]) -> String {
        match (&self.origin, self.trust) {
            // What it's granted for this run has to be in the lock too.
            (Origin::File(path), Trust::Unlocked) => {
                let mut grants = self.terms.grants.clone();
                grants.retain(&self.manifest);
                let options = grants.options_with(power, values);
                format!("persea plugin add {}{options}", path.display())
            }
            _ => {
                let options = Grants::default().options_with(power, values);
                format!(
                    "persea plugin update {}.{}{options}",
                    self.world.name(),
                    self.name
                )
            }
        }
    }

    /// A kind that this resolver has made and not declared; `*` is any. The host's own may make all: a recipe says which.
    pub fn undeclared<'a>(&self, mut kinds: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        if self.is_built_in() || self.kinds.iter().any(|own| own == "*") {
            return None;
        }
        kinds.find(|kind| !self.kinds.iter().any(|own| own == kind))
    }

    /// It was to be called as what it is not.
    pub(crate) fn is_no(&self, what: &str) -> PluginError {
        PluginError::Load {
            plugin: self.label().to_owned(),
            message: format!("it is no {what}"),
        }
    }
}
