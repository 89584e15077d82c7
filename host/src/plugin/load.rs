//! One candidate made into a plugin: read, compiled, linked to its powers, and asked what it is. It must not know which others there are.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::{Component, Linker};

use super::bindings::{
    batch_runner, requirement_resolver, resolver, result_format, runner, scheduler, types,
    varianter,
};
use super::call::within;
use super::catalog::{Catalog, Origin, Plugin, Pre, Sources};
use super::engine::digest;
use super::manifest::{Manifest, World};
use super::state::State;
use super::trap::explain;
use super::{PluginError, convert, powers};

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
pub(super) struct Candidate {
    pub(super) origin: Origin,
    label: String,
}

impl Catalog {
    pub(super) async fn load_one(&self, candidate: &Candidate) -> Result<Plugin, PluginError> {
        let Candidate { origin, label } = candidate;
        match origin {
            Origin::BuiltIn => {
                let built_in = BUILTINS.iter().find(|built_in| built_in.name == *label);
                let (bytes, digest) =
                    built_in.map_or((&[][..], ""), |found| (found.bytes, found.digest));
                self.load_bytes(bytes, digest.to_owned(), origin, label)
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
                        plugin: label.clone(),
                        found: "it is no ordinary file".into(),
                    });
                }
                if meta.len() > self.limits.component_bytes {
                    let limit = self.limits.component_bytes;
                    return Err(PluginError::TooLarge {
                        plugin: label.clone(),
                        size: meta.len(),
                        limit,
                    });
                }
                let bytes = std::fs::read(path).map_err(failed)?;
                let digest = digest(&bytes);
                self.load_bytes(&bytes, digest, origin, label).await
            }
        }
    }

    async fn load_bytes(
        &self,
        bytes: &[u8],
        digest: String,
        origin: &Origin,
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
        let label = match origin {
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
            one_process: manifest.starts_processes()
                && more.get("one-process") == Some(&true.into()),
            more,
            manifest,
            origin: origin.clone(),
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
            World::Runner => {
                let batch = manifest
                    .batches
                    .then(|| batch_runner::BatchRunnerPre::new(pre.clone()));
                let batch = batch.transpose().map_err(failed)?;
                ask!(runner::RunnerPre<State>, |pre| Pre::Runner(pre, batch))
            }
            World::ResultFormat => ask!(result_format::ResultFormatPre<State>, Pre::ResultFormat),
            World::Varianter => ask!(varianter::VarianterPre<State>, Pre::Varianter),
            World::Scheduler => ask!(scheduler::SchedulerPre<State>, Pre::Scheduler),
            World::RequirementResolver => ask!(
                requirement_resolver::RequirementResolverPre<State>,
                Pre::RequirementResolver
            ),
        }
    }
}

impl Candidate {
    /// Whether it can wait: jobs whose tasks require nothing do not pay for what is compiled for that. It is never a file of a
    /// user's, who wants to hear of what is wrong with it.
    pub(super) fn may_wait(&self) -> bool {
        let built_in = BUILTINS.iter().find(|built_in| built_in.name == self.label);
        let built_in = built_in.filter(|_| self.origin == Origin::BuiltIn);
        built_in.is_some_and(|built_in| {
            Manifest::read(built_in.name, built_in.bytes)
                .is_ok_and(|manifest| manifest.world == World::RequirementResolver)
        })
    }

    pub(super) fn file(path: &Path) -> Self {
        Self {
            origin: Origin::File(path.to_path_buf()),
            label: path.display().to_string(),
        }
    }
}

/// What may be a plugin, the most preferred first.
pub(super) fn candidates(sources: &Sources) -> Result<Vec<Candidate>, PluginError> {
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
    if manifest.world.is_chosen_by_kind() && description.kinds.is_empty() {
        return Err(format!(
            "a {} names the kinds that it serves, and it names none",
            manifest.world.name()
        ));
    }
    Ok(())
}
