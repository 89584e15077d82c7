//! One candidate made into a plugin: read, compiled, linked to its powers, and asked what it is. It must not know which others there are.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OnceCell;
use wasmtime::component::{Component, Linker};

use crate::PluginError;
use crate::contract::description::{check, is_as_locked};
use crate::engine::compile::CompileError;
use crate::engine::compiler::{Compiler, digest};
use crate::engine::limits::{self, Largest, Limits, Own, Reached};
use crate::find::sources::{Candidate, Sources, Trust};
use crate::instance::state::State;
use crate::instance::terms::{JobMemory, Terms};
use crate::powers;
use crate::powers::log::{Level, Log, LogTarget};
use crate::trust::grants::{Grants, Power, in_words};
use crate::trust::lock::{Entry, Lock};
use crate::trust::manifest::{Manifest, World};
use crate::trust::signature::Keys;
use crate::worlds::linked::Pre;
use crate::worlds::plugin::{Origin, Plugin};
use persea_config::Config;
use persea_config::settings;
use persea_model::names::printable;

/// On which terms a component is to be used.
struct Use<'a> {
    trust: Trust,
    grants: Grants,
    /// The limits that it has of its own.
    own: Own<'a>,
    /// The entry of a lock that binds it.
    entry: Option<&'a Entry>,
}

/// What it takes to load any plugin.
pub struct Loader {
    pub(crate) compiler: Compiler,
    /// The settings, of which limits are made.
    pub(crate) config: Config,
    /// The largest component that any plugin may be.
    largest: Largest,
    pub(crate) sources: Sources,
    keys: Keys,
    /// The memory that the tasks of the job take, whichever plugin has made them.
    pub(crate) memory: Arc<JobMemory>,
}

impl Loader {
    /// For `instances` plugins at once at most.
    pub(crate) fn new(
        sources: Sources,
        config: &Config,
        instances: u32,
    ) -> Result<Self, PluginError> {
        let compiled = sources.cache.as_ref().map(|cache| cache.join("compiled"));
        let room = limits::room(config, &sources.locks);
        let compiler = Compiler::new(instances, room, compiled.as_deref());
        let compiler = compiler.map_err(|error| {
            let limit = error.downcast_ref().map_or("", persea_system::ulimit::hint);
            let message = format!("{error:#}{limit}");
            PluginError::Engine { message }
        })?;
        Ok(Self {
            compiler,
            config: config.clone(),
            largest: Largest::of_any(config, &sources.locks),
            keys: Keys::new(config)?,
            memory: Arc::new(JobMemory::new(config)),
            sources,
        })
    }

    /// Loads what may be used; or says why it may not, or cannot be.
    pub(crate) async fn load_one(&self, candidate: &Candidate) -> Result<Plugin, PluginError> {
        let Candidate { origin, label, .. } = candidate;
        match origin {
            Origin::BuiltIn => {
                let built_in = self.sources.built_in(label);
                let (bytes, digest) =
                    built_in.map_or((&[][..], ""), |found| (found.bytes, found.digest));
                let use_as = Use {
                    trust: Trust::BuiltIn,
                    grants: Grants::all(),
                    own: Own::none(),
                    entry: None,
                };
                self.load_bytes(bytes, digest.to_owned(), origin, label, use_as)
                    .await
            }
            Origin::File(path) => {
                if let Some(registry) = &candidate.registry
                    && !path.exists()
                {
                    return Err(PluginError::Absent {
                        plugin: label.clone(),
                        registry: registry.clone(),
                    });
                }
                let bytes = self.read(path, &Own::none())?;
                let digest = digest(&bytes);
                let use_as = self.permit(candidate, &bytes, &digest)?;
                self.load_bytes(&bytes, digest, origin, label, use_as).await
            }
        }
    }

    /// Of the files in the directories, those that no lock binds, each with what would lock it.
    pub fn not_locked(&self) -> Result<Vec<PluginError>, PluginError> {
        let mut found = Vec::new();
        for candidate in self.sources.candidates()? {
            let Origin::File(path) = &candidate.origin else {
                continue;
            };
            let candidate = Candidate {
                named: false,
                entry: candidate.entry.clone(),
                ..Candidate::file(path)
            };
            let looked = self
                .read(path, &Own::none())
                .and_then(|bytes| self.permit(&candidate, &bytes, &digest(&bytes)).map(|_| ()));
            if let Err(error @ PluginError::NotLocked { .. }) = looked {
                found.push(error);
            }
        }
        Ok(found)
    }

    /// Loads a component only to be looked at, with the limits that it's to have: it's granted what it asks for, and has no task on which it
    /// could use that.
    pub async fn examine(
        &self,
        label: &Path,
        bytes: &[u8],
        own: &Own<'_>,
    ) -> Result<Plugin, PluginError> {
        let use_as = Use {
            trust: Trust::Unlocked,
            grants: Grants::default(),
            own: own.clone(),
            entry: None,
        };
        let origin = Origin::File(label.to_path_buf());
        let label = label.display().to_string();
        self.load_bytes(bytes, digest(bytes), &origin, &label, use_as)
            .await
    }

    /// The bytes of a component's file, if any plugin may have as many, or one with these limits of its own.
    pub fn read(&self, path: &Path, own: &Own<'_>) -> Result<Vec<u8>, PluginError> {
        let failed = |source| PluginError::Read {
            path: path.to_path_buf(),
            source,
        };
        let label = path.display().to_string();
        let meta = path.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(PluginError::NotComponent {
                plugin: label,
                found: "it is no ordinary file".into(),
            });
        }
        let largest = self.largest(own);
        let too_large = |plugin| PluginError::Limit {
            plugin,
            reached: Box::new(largest.reached.clone()),
        };
        if meta.len() > largest.bytes {
            return Err(too_large(label));
        }
        let mut bytes = Vec::new();
        // Also one that grows while it's read.
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(largest.bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        match bytes.len() as u64 > largest.bytes {
            true => Err(too_large(label)),
            false => Ok(bytes),
        }
    }

    /// The largest component that is looked at, by the limits of all plugins and these.
    pub fn largest(&self, own: &Own<'_>) -> Largest {
        self.largest.clone().or(own)
    }

    /// Whether a file's plugin may be used, and on which terms.
    fn permit<'a>(
        &'a self,
        candidate: &Candidate,
        bytes: &[u8],
        digest: &str,
    ) -> Result<Use<'a>, PluginError> {
        let plugin = candidate.label.clone();
        let spawner = self.config.get(settings::RUN_SPAWNER).name();
        let manifest = Manifest::read(&plugin, bytes)?;
        let bound = self.sources.bound_to(digest);
        if let Some((lock, entry)) = bound {
            self.check_reach(&plugin, lock, entry)?;
        }
        let use_as = match bound {
            Some((_, entry)) => Use {
                trust: Trust::Locked,
                grants: entry.grants.clone(),
                own: Own::locked(entry, &entry.limits),
                entry: Some(entry),
            },
            None => {
                if let Some(name) = candidate.entry.clone() {
                    return Err(PluginError::Changed { plugin, name });
                }
                let proposals = |power: Power| format!(" --grant {}", power.proposal(spawner));
                let mut all = Grants::default().missing(&manifest);
                if manifest.world.hands_out() && !all.contains(&Power::Process) {
                    // Without it the tests that it makes run in no spawner but those that isolate.
                    all.insert(0, Power::Process);
                }
                let add = format!(
                    "persea plugin add {plugin}{}",
                    all.into_iter().map(proposals).collect::<String>()
                );
                if !candidate.named {
                    return Err(PluginError::NotLocked {
                        plugin,
                        world: manifest.world.name(),
                        add,
                    });
                }
                Use {
                    trust: Trust::Unlocked,
                    grants: self.sources.grants.clone(),
                    own: Own::none(),
                    entry: None,
                }
            }
        };
        let entry = bound.map(|(_, entry)| entry);
        self.keys.check(
            &plugin,
            bytes,
            entry.and_then(|entry| entry.signature.as_deref()),
        )?;
        let missing = use_as.grants.missing(&manifest);
        if missing.is_empty() {
            return Ok(use_as);
        }
        let words: Vec<&str> = missing.iter().map(|power| in_words(power.name())).collect();
        let line = match entry {
            Some(entry) => format!("persea plugin update {}", entry.id()),
            None => format!("persea plugin add {plugin}"),
        };
        let grants = missing
            .iter()
            .map(|power| format!(" --grant {}", power.proposal(spawner)));
        Err(PluginError::Ungranted {
            plugin,
            asks: words.join(", and to "),
            line: format!("{line}{}", grants.collect::<String>()),
        })
    }

    /// Whether a lock has what it grants to grant.
    pub fn check_reach(&self, plugin: &str, lock: &Lock, entry: &Entry) -> Result<(), PluginError> {
        match self.sources.overreach(lock, entry) {
            None => Ok(()),
            Some(directory) => Err(PluginError::Overreach {
                plugin: plugin.to_owned(),
                lock: lock.path().to_path_buf(),
                directory: directory.to_owned(),
            }),
        }
    }

    async fn load_bytes(
        &self,
        bytes: &[u8],
        digest: String,
        origin: &Origin,
        label: &str,
        use_as: Use<'_>,
    ) -> Result<Plugin, PluginError> {
        let manifest = Manifest::read(label, bytes)?;
        if !self.compiler.is_cached(&digest) && matches!(origin, Origin::File(_)) {
            tracing::info!("compiling {label}");
        }
        let Use {
            trust,
            grants,
            own,
            entry,
        } = use_as;
        let limits = Limits::of(&self.config, manifest.world, None, &own);
        let foreign = (trust != Trust::BuiltIn).then_some(&limits);
        let too_large = |reached| PluginError::Limit {
            plugin: label.to_owned(),
            reached: Box::new(reached),
        };
        if let Some(limits) = foreign {
            limits.check_size(bytes.len()).map_err(too_large)?;
        }
        // What the host's own plugins say of themselves is kept beside their code: most jobs call few of them.
        let is_own = foreign.is_none();
        let known = is_own.then(|| self.compiler.description(&digest));
        let (pre, description) = match known.flatten() {
            Some(description) => (OnceCell::new(), description),
            None => {
                let compiled = self.compiler.component(bytes, &digest, foreign);
                let component = compiled.map_err(|error| refused(error, &limits).of(label))?;
                let pre = self.link(label, &manifest, &component)?;
                let terms = Terms::new(
                    label.to_owned(),
                    grants.clone(),
                    limits.to_describe(),
                    Arc::clone(&self.memory),
                );
                let terms = Arc::new(terms);
                let description = pre.describe(&terms, self.store(&terms)).await?;
                check(&description, &manifest).map_err(|message| PluginError::Description {
                    plugin: label.to_owned(),
                    message,
                })?;
                if is_own {
                    self.compiler.keep_description(&digest, &description);
                }
                (OnceCell::from(pre), description)
            }
        };
        if let Some(entry) = entry
            && let Err(message) = is_as_locked(&description, entry)
        {
            return Err(PluginError::NotAsLocked {
                plugin: label.to_owned(),
                name: entry.id(),
                message,
            });
        }
        let name = description.name;
        let label = match origin {
            Origin::BuiltIn => format!("{} `{name}`", manifest.world.name()),
            Origin::File(path) => {
                format!("{} `{name}` ({})", manifest.world.name(), path.display())
            }
        };
        let limits = Limits::of(&self.config, manifest.world, Some(&name), &own);
        if trust != Trust::BuiltIn {
            limits.check_size(bytes.len()).map_err(too_large)?;
        }
        Ok(Plugin {
            world: manifest.world,
            name,
            version: description.version,
            summary: description.summary,
            kinds: description.kinds,
            settings: description.settings,
            more: description.more,
            manifest,
            origin: origin.clone(),
            trust,
            digest,
            size: bytes.len(),
            terms: Arc::new(Terms::new(label, grants, limits, Arc::clone(&self.memory))),
            pre,
        })
    }

    /// A store whose messages go to the host's own log.
    pub(crate) fn store(&self, terms: &Arc<Terms>) -> wasmtime::Store<State> {
        let label = terms.label.clone();
        let target = move |level: Level, message: &str| to_own_log(&label, level, message);
        self.store_with(terms, Box::new(target))
    }

    /// A store whose messages go to this target.
    pub(crate) fn store_with(
        &self,
        terms: &Arc<Terms>,
        target: LogTarget,
    ) -> wasmtime::Store<State> {
        State::store(
            &self.compiler.engine,
            terms,
            Log::new(target, &terms.limits),
        )
    }

    /// Whether a plugin is signed as the configuration wants it.
    pub fn check_signature(
        &self,
        plugin: &str,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<(), PluginError> {
        self.keys.check(plugin, bytes, signature)
    }

    fn link(
        &self,
        plugin: &str,
        manifest: &Manifest,
        component: &Component,
    ) -> Result<Pre, PluginError> {
        let link = || {
            let mut linker = Linker::new(&self.compiler.engine);
            powers::link(&mut linker, &manifest.powers)?;
            if manifest.wasi {
                wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
            }
            Pre::new(manifest, &linker, component)
        };
        link().map_err(|error: wasmtime::Error| PluginError::Load {
            plugin: plugin.to_owned(),
            message: format!("{error:#}"),
        })
    }

    /// Links a plugin of the host itself, which was described without that.
    pub(crate) fn link_built_in(
        &self,
        plugin: &str,
        manifest: &Manifest,
        digest: &str,
    ) -> Result<Pre, PluginError> {
        let mut built_in = self.sources.built_in.iter();
        let built_in = built_in.find(|built_in| built_in.digest == digest);
        let bytes = built_in.map_or(&[][..], |found| found.bytes);
        let component = self.compiler.component(bytes, digest, None);
        let component = component.map_err(|error| error.of(plugin))?;
        self.link(plugin, manifest, &component)
    }

    /// Whether loading the candidate can wait until a task needs it: a built-in requirement resolver. A job whose tasks require
    /// nothing does not pay for compiling it.
    pub(crate) fn may_wait(&self, candidate: &Candidate) -> bool {
        if candidate.origin != Origin::BuiltIn {
            return false;
        }
        self.sources.built_in(&candidate.label).is_some_and(|it| {
            Manifest::read(it.name, it.bytes)
                .is_ok_and(|manifest| manifest.world == World::RequirementResolver)
        })
    }
}

/// Writes a plugin's message to the host's own log, as one line that begins with the plugin's name.
pub(crate) fn to_own_log(label: &str, level: Level, message: &str) {
    let message = printable(message);
    match level {
        Level::Error | Level::Warn => tracing::warn!("{label}: {message}"),
        Level::Info => tracing::info!("{label}: {message}"),
        Level::Trace | Level::Debug => tracing::debug!("{label}: {message}"),
    }
}

/// Why a component was not compiled, with the limit that it's over, if it's one.
fn refused(error: CompileError, limits: &Limits) -> CompileError {
    match error {
        CompileError::Wrong(error) => match pool_limit(limits, &format!("{error:#}")) {
            Some(reached) => CompileError::Limit(reached),
            None => CompileError::Wrong(error),
        },
        error => error,
    }
}

/// The limit that a component is over from its start, if it's one: the engine refuses that before anything is there, in words of its own.
fn pool_limit(limits: &Limits, text: &str) -> Option<Reached> {
    if text.contains("table index") && text.contains("exceeds the limit") {
        let value = format!("{} elements", limits.table_elements);
        Some(limits.reached("tables", value, "table_elements"))
    } else if text.contains("core module instances") || text.contains("core instances") {
        let value = limits.instances.to_string();
        Some(limits.reached("core instances", value, "instances"))
    } else {
        None
    }
}
