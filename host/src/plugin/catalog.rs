//! The plugins that there are, where each came from, and which one serves what.
//!
//! Owns finding, loading and choosing. A plugin that cannot be loaded is kept as a failure: the others work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use wasmtime::component::{Component, Linker};

use super::bindings::{requirement_resolver, resolver, result_format, runner, types};
use super::call::within;
use super::engine::{Compiler, digest};
use super::limits::Limits;
use super::manifest::{Manifest, World};
use super::powers;
use super::powers::log::{Level, Log};
use super::state::State;
use super::trap::explain;
use super::workers::Workers;
use super::{PluginError, convert};
use crate::config::Config;
use crate::model::Attributes;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the host.
    BuiltIn,
    /// A file in a directory of plugins.
    File(PathBuf),
}

/// Where plugins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Directories, the most preferred first. Each must exist.
    pub dirs: Vec<PathBuf>,
    /// The user's own directory, which need not exist.
    pub user_dir: Option<PathBuf>,
    /// Where compiled code is kept; none to keep none.
    pub cache: Option<PathBuf>,
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
    /// A runner says that each of its tasks is one process, which it starts by `run`.
    pub one_process: bool,
    /// What its binary says.
    pub manifest: Manifest,
    /// Where it came from.
    pub origin: Origin,
    /// The SHA-256 of the component.
    pub digest: String,
    /// Its size, in bytes.
    pub size: usize,
    pub(super) label: String,
    pub(super) pre: Pre,
}

/// A linked component, by world.
pub(super) enum Pre {
    Resolver(resolver::ResolverPre<State>),
    Runner(runner::RunnerPre<State>),
    ResultFormat(result_format::ResultFormatPre<State>),
    /// Loaded and listed; nothing calls it yet.
    Requirement,
}

impl Plugin {
    /// The plugin in messages: ``runner `tap` `` or ``runner `tap` (dir/tap.wasm)``.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// All plugins.
pub struct Catalog {
    pub(super) compiler: Compiler,
    pub(super) limits: Limits,
    workers: Workers,
    pub(super) root: Arc<Dir>,
    pub(super) place: Arc<Path>,
    plugins: Vec<Arc<Plugin>>,
    failures: Vec<PluginError>,
    runners: BTreeMap<String, usize>,
}

/// A plugin of the host itself.
struct BuiltIn {
    name: &'static str,
    digest: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The longest that a plugin may take to say what it is; a guest with an interpreter in it takes a second.
const DESCRIBE: Duration = Duration::from_secs(10);

/// Something that may be a plugin.
struct Candidate {
    origin: Origin,
    label: String,
}

impl Catalog {
    /// Loads all plugins: those of `sources`, then those of the host. `instances` is how many run at once at most; `root` is the
    /// directory of the project, which resolvers may read.
    pub async fn load(
        sources: &Sources,
        config: &Config,
        instances: u32,
        root: &Path,
    ) -> Result<Self, PluginError> {
        let compiler = Compiler::new(instances, sources.cache.as_deref()).map_err(|error| {
            PluginError::Engine {
                message: format!("{error:#}"),
            }
        })?;
        let place: Arc<Path> = root.into();
        let root = Dir::open_ambient_dir(root, cap_std::ambient_authority()).map_err(|source| {
            PluginError::Read {
                path: root.to_path_buf(),
                source,
            }
        })?;
        let mut catalog = Self {
            compiler,
            limits: Limits::from_config(config),
            workers: Workers::default(),
            root: Arc::new(root),
            place,
            plugins: Vec::new(),
            failures: Vec::new(),
            runners: BTreeMap::new(),
        };
        let disabled = config.texts("plugins.disable");
        for candidate in candidates(sources)? {
            match catalog.load_one(candidate).await {
                Ok(plugin)
                    if disabled.contains(&format!("{}.{}", plugin.world.name(), plugin.name)) => {}
                Ok(plugin) => catalog.plugins.push(Arc::new(plugin)),
                Err(error) => catalog.failures.push(error),
            }
        }
        catalog.choose(config);
        Ok(catalog)
    }

    /// Reads and loads the component in one file, outside of any catalog's choice.
    pub async fn inspect(&self, path: &Path) -> Result<Plugin, PluginError> {
        self.load_one(Candidate::file(path)).await
    }

    async fn load_one(&self, candidate: Candidate) -> Result<Plugin, PluginError> {
        let Candidate { origin, label } = candidate;
        match &origin {
            Origin::BuiltIn => {
                let built_in = BUILTINS.iter().find(|built_in| built_in.name == label);
                let (bytes, digest) =
                    built_in.map_or((&[][..], ""), |found| (found.bytes, found.digest));
                self.load_bytes(bytes, digest.to_owned(), origin, &label)
                    .await
            }
            Origin::File(path) => {
                let failed = |source| PluginError::Read {
                    path: path.clone(),
                    source,
                };
                let meta = path.metadata().map_err(failed)?;
                if !meta.is_file() {
                    return Err(PluginError::NotComponent {
                        plugin: label,
                        found: "it is no ordinary file".into(),
                    });
                }
                if meta.len() > self.limits.component_bytes {
                    let limit = self.limits.component_bytes;
                    return Err(PluginError::TooLarge {
                        plugin: label,
                        size: meta.len(),
                        limit,
                    });
                }
                let bytes = std::fs::read(path).map_err(failed)?;
                let digest = digest(&bytes);
                self.load_bytes(&bytes, digest, origin, &label).await
            }
        }
    }

    async fn load_bytes(
        &self,
        bytes: &[u8],
        digest: String,
        origin: Origin,
        label: &str,
    ) -> Result<Plugin, PluginError> {
        let manifest = Manifest::read(label, bytes)?;
        let failed = |error: wasmtime::Error| PluginError::Load {
            plugin: label.to_owned(),
            message: format!("{error:#}"),
        };
        if !self.compiler.is_cached(&digest) && matches!(origin, Origin::File(_)) {
            tracing::info!("compiling {label}");
        }
        let component = self.compiler.component(bytes, &digest).map_err(failed)?;
        let linker = self.linker(&manifest).map_err(failed)?;
        let (pre, description) = self.describe(&manifest, &linker, &component, label).await?;
        check(&description, &manifest).map_err(|message| PluginError::Description {
            plugin: label.to_owned(),
            message,
        })?;
        let name = description.name;
        let label = match &origin {
            Origin::BuiltIn => format!("{} `{name}`", manifest.world.name()),
            Origin::File(path) => {
                format!("{} `{name}` ({})", manifest.world.name(), path.display())
            }
        };
        let more = convert::attributes(description.more);
        Ok(Plugin {
            world: manifest.world,
            name,
            version: description.version,
            summary: description.summary,
            kinds: description.kinds,
            settings: description.settings,
            one_process: manifest.powers.iter().any(|power| power == "process")
                && more.get("one-process") == Some(&true.into()),
            more,
            manifest,
            origin,
            digest,
            size: bytes.len(),
            label,
            pre,
        })
    }

    fn linker(&self, manifest: &Manifest) -> wasmtime::Result<Linker<State>> {
        let mut linker = Linker::new(&self.compiler.engine);
        powers::link(&mut linker, &manifest.powers)?;
        if manifest.wasi {
            wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        }
        Ok(linker)
    }

    /// Links a component to its powers and asks it what it is, in a sandbox of its own.
    async fn describe(
        &self,
        manifest: &Manifest,
        linker: &Linker<State>,
        component: &Component,
        label: &str,
    ) -> Result<(Pre, types::Description), PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Load {
            plugin: label.to_owned(),
            message: format!("{error:#}"),
        };
        let pre = linker.instantiate_pre(component).map_err(failed)?;
        let mut store = self.store(label.to_owned());
        // A macro, because the generated bindings of the worlds have no trait in common.
        macro_rules! ask {
            ($pre:ty, $keep:expr) => {{
                let pre = <$pre>::new(pre).map_err(failed)?;
                let answer = within(label, Some(DESCRIBE), async {
                    let instance = pre.instantiate_async(&mut store).await?;
                    instance
                        .persea_plugin_plugin()
                        .call_describe(&mut store)
                        .await
                });
                match answer.await? {
                    Ok(description) => Ok(($keep(pre), description)),
                    Err(error) => Err(explain(label, &mut store, &error)),
                }
            }};
        }
        match manifest.world {
            World::Resolver => ask!(resolver::ResolverPre<State>, Pre::Resolver),
            World::Runner => ask!(runner::RunnerPre<State>, Pre::Runner),
            World::ResultFormat => ask!(result_format::ResultFormatPre<State>, Pre::ResultFormat),
            World::RequirementResolver => {
                let listed = |_| Pre::Requirement;
                ask!(requirement_resolver::RequirementResolverPre<State>, listed)
            }
        }
    }

    /// A store whose messages go to the host's own log.
    pub(super) fn store(&self, label: String) -> wasmtime::Store<State> {
        let target = Box::new(move |level: Level, message: &str| match level {
            Level::Error | Level::Warn => tracing::warn!("{label}: {message}"),
            Level::Info => tracing::info!("{label}: {message}"),
            _ => tracing::debug!("{label}: {message}"),
        });
        State::store(
            &self.compiler.engine,
            &self.limits,
            Log::new(target, self.limits.log_bytes),
        )
    }

    /// Puts the plugins into the order in which they are preferred: as configured, then by the order that resolvers give
    /// themselves, then as found.
    fn choose(&mut self, config: &Config) {
        let configured = |plugin: &Plugin| {
            let order = config.texts(&format!("plugins.{}.order", plugin.world.name()));
            order
                .iter()
                .position(|name| *name == plugin.name)
                .unwrap_or(usize::MAX)
        };
        let own = |plugin: &Plugin| match plugin.world {
            World::Resolver => -plugin
                .more
                .get("order")
                .and_then(serde_json::Value::as_i64)
                .unwrap_or(50),
            _ => 0,
        };
        self.plugins.sort_by(|a, b| {
            let by_name = match a.world {
                World::Resolver => a.name.cmp(&b.name),
                _ => std::cmp::Ordering::Equal,
            };
            (a.world, configured(a), own(a))
                .cmp(&(b.world, configured(b), own(b)))
                .then(by_name)
        });
        for (index, plugin) in self.plugins.iter().enumerate() {
            if plugin.world == World::Runner {
                for kind in &plugin.kinds {
                    self.runners.entry(kind.clone()).or_insert(index);
                }
            }
        }
    }

    /// All plugins, in the order in which they are preferred.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The plugins that could not be loaded.
    pub fn failures(&self) -> &[PluginError] {
        &self.failures
    }

    /// The resolvers, in the order in which they are asked.
    pub fn resolvers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins
            .iter()
            .filter(|plugin| plugin.world == World::Resolver)
    }

    /// Threads for what computes in plugins.
    pub fn threads(&self) -> tokio::runtime::Handle {
        self.workers.handle()
    }

    /// Spawns on the current runtime what calls plugins now and then; should one compute for long, that is done on
    /// [`Catalog::threads`].
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.workers.spawn(future);
    }

    /// The runner for a kind.
    pub fn runner(&self, kind: &str) -> Option<&Arc<Plugin>> {
        self.runners
            .get(kind)
            .and_then(|index| self.plugins.get(*index))
    }

    /// The result format with this name.
    pub fn format(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.formats().find(|plugin| plugin.name == name)
    }

    /// The result formats, one for each name.
    pub fn formats(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let mut seen = Vec::new();
        self.plugins.iter().filter(move |plugin| {
            plugin.world == World::ResultFormat && !seen.contains(&plugin.name) && {
                seen.push(plugin.name.clone());
                true
            }
        })
    }

    /// The kinds for which another plugin is preferred to this one.
    pub fn shadowed<'a>(&'a self, plugin: &'a Plugin) -> impl Iterator<Item = &'a str> {
        plugin
            .kinds
            .iter()
            .filter(|kind| {
                plugin.world == World::Runner
                    && self
                        .runner(kind)
                        .is_some_and(|chosen| chosen.digest != plugin.digest)
            })
            .map(String::as_str)
    }

    /// The settings that any plugin declared.
    pub fn settings(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .plugins
            .iter()
            .flat_map(|plugin| plugin.settings.iter().cloned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Candidate {
    fn file(path: &Path) -> Self {
        Self {
            origin: Origin::File(path.to_path_buf()),
            label: path.display().to_string(),
        }
    }
}

/// What may be a plugin, the most preferred first.
fn candidates(sources: &Sources) -> Result<Vec<Candidate>, PluginError> {
    let mut found = Vec::new();
    for dir in &sources.dirs {
        found.extend(files(dir)?);
    }
    if let Some(dir) = sources.user_dir.as_deref().filter(|dir| dir.is_dir()) {
        found.extend(files(dir)?);
    }
    found.extend(BUILTINS.iter().map(|built_in| Candidate {
        origin: Origin::BuiltIn,
        label: built_in.name.to_owned(),
    }));
    Ok(found)
}

/// The files of a directory whose names end with `.wasm`, by name.
fn files(dir: &Path) -> Result<Vec<Candidate>, PluginError> {
    let failed = |source| PluginError::Directory {
        path: dir.to_path_buf(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.iter().map(|path| Candidate::file(path)).collect())
}

/// Whether a description is one.
fn check(description: &types::Description, manifest: &Manifest) -> Result<(), String> {
    let name = &description.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(format!(
            "its name is {name:?}, and a name has at most 64 lower case letters, digits and hyphens"
        ));
    }
    if semver::Version::parse(&description.version).is_err() {
        return Err(format!(
            "its version is {:?}, which is no version such as 1.2.3",
            description.version
        ));
    }
    if manifest.world == World::Runner && description.kinds.is_empty() {
        return Err("a runner names the kinds that it runs, and it names none".into());
    }
    Ok(())
}
