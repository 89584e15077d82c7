//! Owns how a candidate becomes a plugin: its component is read, compiled, linked to its powers,
//! and asked for its description. Does not know about other plugins.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use tokio::sync::OnceCell;

use crate::contract::description::{Description, Part};
use crate::contract::world::World;
use crate::engine::compile::CompileError;
use crate::engine::compiler::{CompileIn, Compiler};
use crate::engine::digest::digest;
use crate::engine::limits::{ComponentSizeLimit, Limit, Limits, OwnLimits, capacity};
use crate::error::PluginError;
use crate::error::reached::ReachedLimit;
use crate::find::admission::{Admission, Gate, check_reach};
use crate::find::sources::{BuiltIn, Candidate, FileCandidate, Sources};
use crate::instance::context::PluginContext;
use crate::trust::entry::LockEntry;
use crate::trust::lock::Lock;
use crate::trust::manifest::Manifest;
use crate::trust::provenance::PluginOrigin;
use crate::trust::signature::SigningKeys;
use crate::worlds::plugin::{Plugin, PluginComponent};
use crate::worlds::program_instances::ProgramInstances;
use crate::worlds::runtime::Runtime;
use persea_config::{Config, settings};

/// What it takes to load any plugin.
pub struct Loader {
    runtime: Arc<Runtime>,
    config: Config,
    sources: Sources,
    keys: SigningKeys,
    /// The largest component that any plugin may be.
    largest: ComponentSizeLimit,
}

/// A component's bytes, and where they came from.
struct Found<'a> {
    bytes: &'a [u8],
    digest: String,
    origin: PluginOrigin,
    /// The plugin in messages until it is described.
    label: String,
}

impl Loader {
    /// For this number of instances at once. `project` is the project's directory.
    pub(crate) fn new(
        sources: Sources,
        config: &Config,
        instances: u32,
        project: &Path,
    ) -> Result<Self, PluginError> {
        let cache = sources.cache.as_deref();
        let compiled = cache.map(|cache| cache.join("compiled"));
        let own_limits = sources.locks.entries().map(|(_, entry)| &entry.limits);
        let capacity = capacity(config, own_limits);
        let compiler = Compiler::new(instances, capacity, compiled.as_deref());
        let compiler = compiler.map_err(|error| {
            let hint = error.downcast_ref().map_or("", persea_system::ulimit::hint);
            let message = format!("{error:#}{hint}");
            PluginError::Engine { message }
        })?;
        let own_limits = sources.locks.entries().map(|(_, entry)| entry.own_limits());
        Ok(Self {
            runtime: Arc::new(Runtime::new(config, compiler, project, cache)?),
            largest: ComponentSizeLimit::highest(config, own_limits),
            keys: SigningKeys::new(config)?,
            config: config.clone(),
            sources,
        })
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn candidates(&self) -> Result<Vec<Candidate>, PluginError> {
        self.sources.candidates()
    }

    /// Loads a candidate: a plugin for each world of its component.
    ///
    /// # Errors
    /// Why the candidate may not be used, or cannot be.
    pub(crate) async fn load(&self, candidate: &Candidate) -> Result<Vec<Plugin>, PluginError> {
        match candidate {
            Candidate::BuiltIn(built_in) => self.load_built_in(built_in).await,
            Candidate::File(candidate) => {
                let label = candidate.label();
                if let Some(registry) = &candidate.registry
                    && !candidate.path.exists()
                {
                    return Err(PluginError::Absent {
                        plugin: label,
                        registry: registry.clone(),
                    });
                }
                let of_entry = |error: PluginError| error.in_source_of(candidate.entry.as_deref());
                let read = self.read(&candidate.path, &OwnLimits::none());
                let bytes = read.map_err(of_entry)?;
                let digest = digest(&bytes);
                let admitted = self.gate().admit(candidate, &bytes, &digest);
                let admission = admitted.map_err(of_entry)?;
                let found = Found {
                    bytes: &bytes,
                    digest,
                    origin: PluginOrigin::File(candidate.path.clone()),
                    label,
                };
                self.load_file(found, admission).await
            }
        }
    }

    /// Returns the files of the configured directories that no lock binds, each as an error that
    /// has the command to lock it.
    pub fn not_locked(&self) -> Result<Vec<PluginError>, PluginError> {
        let mut found = Vec::new();
        for candidate in self.candidates()? {
            let Candidate::File(candidate) = candidate else {
                continue;
            };
            // A file of a named directory counts too, though this run may use it.
            let candidate = FileCandidate {
                is_named: false,
                registry: None,
                ..candidate
            };
            let admitted = self
                .read(&candidate.path, &OwnLimits::none())
                .and_then(|bytes| {
                    let digest = digest(&bytes);
                    self.gate().admit(&candidate, &bytes, &digest).map(|_| ())
                });
            if let Err(error @ PluginError::NotLocked { .. }) = admitted {
                found.push(error);
            }
        }
        Ok(found)
    }

    /// Loads a component to inspect it, with these limits of its own: a plugin for each of its
    /// worlds, at least one. It is granted nothing, and has no task on which it could act.
    pub async fn examine(
        &self,
        label: &Path,
        bytes: &[u8],
        own_limits: &OwnLimits<'_>,
    ) -> Result<Vec<Plugin>, PluginError> {
        let found = Found {
            bytes,
            digest: digest(bytes),
            origin: PluginOrigin::File(label.to_path_buf()),
            label: label.display().to_string(),
        };
        self.load_file(found, Admission::to_inspect(own_limits.clone()))
            .await
    }

    /// Reads a component's file, if it is not larger than any plugin, or a plugin with these limits
    /// of its own, may be.
    pub fn read(&self, path: &Path, own_limits: &OwnLimits<'_>) -> Result<Vec<u8>, PluginError> {
        let failed = |source| PluginError::Read {
            path: path.to_path_buf(),
            source,
        };
        let label = path.display().to_string();
        let not_ordinary = || PluginError::NotComponent {
            plugin: label.clone(),
            found: "it is not an ordinary file".into(),
        };
        // A socket cannot be opened, and its error would not say what it is.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(not_ordinary());
        }
        // Somebody may have put a pipe in the file's place meanwhile: opening it must not block.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = std::fs::File::options();
        let file = options.read(true).custom_flags(flags).open(path);
        let file = file.map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(not_ordinary());
        }
        let largest = self.largest(own_limits);
        let too_large = |plugin| PluginError::Limit {
            plugin,
            reached: Box::new(largest.reached.clone()),
        };
        if meta.len() > largest.bytes {
            return Err(too_large(label));
        }
        let mut bytes = Vec::new();
        // The file may grow while the host reads it.
        file.take(largest.bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        match bytes.len() as u64 > largest.bytes {
            true => Err(too_large(label)),
            false => Ok(bytes),
        }
    }

    /// Returns the size limit of a component: the highest of all plugins and of these limits.
    pub fn largest(&self, own_limits: &OwnLimits<'_>) -> ComponentSizeLimit {
        self.largest.clone().or_own(own_limits)
    }

    /// Checks that a lock may grant what an entry grants.
    pub fn check_reach(
        &self,
        plugin: &str,
        lock: &Lock,
        entry: &LockEntry,
    ) -> Result<(), PluginError> {
        check_reach(&self.sources, plugin, lock, entry)
    }

    /// Checks that a component is signed as the configuration wants it.
    pub fn check_signature(
        &self,
        plugin: &str,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<(), PluginError> {
        self.keys.check(plugin, bytes, signature)
    }

    fn gate(&self) -> Gate<'_> {
        Gate {
            sources: &self.sources,
            keys: &self.keys,
            spawner: self.config.get(settings::RUN_SPAWNER).name(),
        }
    }

    /// Loads a component of the host. Its description is cached beside its compiled code, because
    /// most jobs call few of the host's plugins.
    async fn load_built_in(&self, built_in: &'static BuiltIn) -> Result<Vec<Plugin>, PluginError> {
        let found = Found {
            bytes: built_in.bytes,
            digest: built_in.digest.to_owned(),
            origin: PluginOrigin::BuiltIn,
            label: built_in.name.to_owned(),
        };
        let manifest = Manifest::read(&found.label, found.bytes)?;
        let admission = Admission::of_built_in();
        let compiler = &self.runtime.compiler;
        let described = match compiler.description(&found.digest) {
            Some(description) => {
                let parts = parts(&found.label, &manifest, &description)?;
                let embedded = |part| {
                    let component = PluginComponent::Embedded {
                        bytes: built_in.bytes,
                        linked: OnceCell::new(),
                    };
                    (part, component)
                };
                Described {
                    parts: parts.into_iter().map(embedded).collect(),
                    description,
                }
            }
            None => {
                let limits = self.limits(manifest.first_world(), None, &admission);
                let described = self
                    .link_and_describe(
                        &found,
                        &manifest,
                        &admission,
                        &limits,
                        CompileIn::ThisProcess,
                    )
                    .await?;
                compiler.store_description(&found.digest, &described.description);
                described
            }
        };
        Ok(self.plugins(&found, &manifest, &admission, described))
    }

    /// Loads the component of a file, within its limits from the start.
    async fn load_file(
        &self,
        found: Found<'_>,
        admission: Admission<'_>,
    ) -> Result<Vec<Plugin>, PluginError> {
        let manifest = Manifest::read(&found.label, found.bytes)?;
        if !self.runtime.compiler.is_cached(&found.digest) {
            tracing::info!("compiling {}", found.label);
        }
        let limits = self.limits(manifest.first_world(), None, &admission);
        check_size(&found, &limits)?;
        let compile_in = CompileIn::OwnProcess(&limits);
        let described = self
            .link_and_describe(&found, &manifest, &admission, &limits, compile_in)
            .await?;
        if let Some(entry) = admission.entry {
            let parts: Vec<&Part> = described.parts.iter().map(|(part, _)| part).collect();
            let same = entry.check_description(&described.description.name, &parts);
            same.map_err(|message| PluginError::NotAsLocked {
                plugin: found.label.clone(),
                name: entry.id(),
                message,
            })?;
        }
        // The plugin's own settings apply once its name is known.
        let name = Some(described.description.name.as_str());
        for (part, _) in &described.parts {
            check_size(&found, &self.limits(part.world, name, &admission))?;
        }
        Ok(self.plugins(&found, &manifest, &admission, described))
    }

    fn limits(&self, world: World, name: Option<&str>, admission: &Admission<'_>) -> Limits {
        Limits::of(&self.config, world, name, &admission.own_limits)
    }

    async fn link_and_describe(
        &self,
        found: &Found<'_>,
        manifest: &Manifest,
        admission: &Admission<'_>,
        limits: &Limits,
        compile_in: CompileIn<'_>,
    ) -> Result<Described, PluginError> {
        let (runtime, label) = (&self.runtime, &found.label);
        let compiled = runtime
            .compiler
            .component(found.bytes, &found.digest, compile_in);
        let component = compiled.map_err(|error| with_limit(error, limits).of_plugin(label))?;
        let track = manifest.track;
        let component = runtime.link(label, manifest, &component)?;
        let context = Arc::new(PluginContext::new(
            label.clone(),
            None,
            admission.grants.clone(),
            limits.for_description(),
            Arc::clone(&runtime.memory),
        ));
        let store = runtime.store(&context);
        let described = (track.describe)(&context, store, component.clone(), &manifest.exported);
        let description = described.await?;
        let parts = parts(label, manifest, &description)?.into_iter();
        let link = |part: Part| {
            let linked = (track.link_part)(label, &part, component.clone())?;
            Ok((part, PluginComponent::Linked(linked)))
        };
        Ok(Described {
            parts: parts.map(link).collect::<Result<_, PluginError>>()?,
            description,
        })
    }

    /// Makes the plugins of a component, one for each of its worlds.
    fn plugins(
        &self,
        found: &Found<'_>,
        manifest: &Manifest,
        admission: &Admission<'_>,
        Described { description, parts }: Described,
    ) -> Vec<Plugin> {
        let name = &description.name;
        let remarks = description.remarks(&manifest.exported);
        let least = description.least_contract();
        let least = least.map_or_else(
            || manifest.least.clone(),
            |it| it.max(manifest.least.clone()),
        );
        let make = |(part, component): (Part, PluginComponent)| {
            let limits = self.limits(part.world, Some(name), admission);
            let world = part.world.name();
            let label = match &found.origin {
                PluginOrigin::BuiltIn => format!("{world} `{name}`"),
                PluginOrigin::File(path) => format!("{world} `{name}` ({})", path.display()),
            };
            let memory = Arc::clone(&self.runtime.memory);
            let grants = admission.grants.clone();
            let context = PluginContext::new(label, Some(part.world), grants, limits, memory);
            Plugin {
                world: part.world,
                name: name.clone(),
                version: description.version.clone(),
                summary: description.summary.clone(),
                kinds: part.kinds,
                settings: description.settings.clone(),
                more: part.more,
                is_program_runner: part.is_program_runner,
                batch_kinds: part.batch_kinds,
                remarks: remarks.clone(),
                least_contract: least.to_string(),
                manifest: manifest.clone(),
                origin: found.origin.clone(),
                trust: admission.trust,
                digest: found.digest.clone(),
                size: found.bytes.len(),
                context: Arc::new(context),
                runtime: Arc::clone(&self.runtime),
                component,
                program_instances: ProgramInstances::default(),
            }
        };
        parts.into_iter().map(make).collect()
    }
}

/// What a component says about itself, with its form for each of its worlds.
struct Described {
    description: Description,
    parts: Vec<(Part, PluginComponent)>,
}

/// Checks what a component says about itself, and returns what it is for the host.
fn parts(
    label: &str,
    manifest: &Manifest,
    description: &Description,
) -> Result<Vec<Part>, PluginError> {
    let wrong = |message| PluginError::Description {
        plugin: label.to_owned(),
        message,
    };
    description.check().map_err(wrong)?;
    let newest = &manifest.track.newest;
    if let Some(needs) = description.least_contract().filter(|it| it > newest) {
        return Err(PluginError::Contract {
            plugin: label.to_owned(),
            needs: needs.to_string(),
            offers: newest.to_string(),
        });
    }
    description.parts(&manifest.exported).map_err(wrong)
}

/// Whether loading a candidate can wait until a task needs it: a built-in requirement resolver. A
/// job without requirements does not pay for compiling it.
pub(crate) fn can_wait(candidate: &Candidate) -> bool {
    match candidate {
        Candidate::BuiltIn(built_in) => Manifest::read(built_in.name, built_in.bytes)
            .is_ok_and(|manifest| manifest.worlds() == [World::RequirementResolver]),
        Candidate::File(_) => false,
    }
}

fn check_size(found: &Found<'_>, limits: &Limits) -> Result<(), PluginError> {
    let checked = limits.check_size(found.bytes.len());
    checked.map_err(|reached| PluginError::Limit {
        plugin: found.label.clone(),
        reached: Box::new(reached),
    })
}

/// Reports a component that the compiler refuses because of a limit as one that has reached the
/// limit.
fn with_limit(error: CompileError, limits: &Limits) -> CompileError {
    match error {
        CompileError::Invalid(error) => match pool_limit(limits, &format!("{error:#}")) {
            Some(reached) => CompileError::Limit(reached),
            None => CompileError::Invalid(error),
        },
        error @ (CompileError::Reported(_)
        | CompileError::Limit(_)
        | CompileError::Killed(_)
        | CompileError::Process(_)) => error,
    }
}

/// Returns the limit for which the engine refuses a component before it is instantiated. The engine
/// has no type for these errors.
fn pool_limit(limits: &Limits, text: &str) -> Option<ReachedLimit> {
    if text.contains("table index") && text.contains("exceeds the limit") {
        Some(limits.reached(Limit::TableElements))
    } else if text.contains("core module instances") || text.contains("core instances") {
        Some(limits.reached(Limit::CoreInstances))
    } else {
        None
    }
}
