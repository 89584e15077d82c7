//! Owns the resolution of references: each is passed to the resolvers in their order until one
//! takes it. Decides what happens when a resolver fails. Does not know directories, ids or plans.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::input::kind_rules::{KindRules, PROGRAM_KINDS, RuleAnswer};
use crate::input::own_spawner;
use crate::input::provenance::Provenance;
use crate::input::walk::{WalkedReference, WalkedReferences, unreadable, walk};
use persea_config::Config;
use persea_journal::{Warning, WarningCause};
use persea_model::names::{cut, printable};
use persea_model::{Runnable, SpawnerKind};
use persea_plugin::{Catalog, Plugin, PluginError, Resolution, Resolver};

/// A reference and its answer.
#[derive(Debug)]
pub struct Resolved {
    /// The reference, as the user typed it or as it was found in a directory.
    pub reference: String,
    /// The answer of the resolvers.
    pub answer: Answer,
}

/// The answer of the resolvers to a reference.
#[derive(Debug)]
pub enum Answer {
    /// A resolver returned runnables.
    Found {
        /// The resolver.
        resolver: String,
        /// The runnables.
        runnables: Vec<Arc<Runnable>>,
        /// The provenance of the runnables.
        provenance: Provenance,
    },
    /// No resolver took the reference.
    Missing {
        /// Why, a line for each resolver.
        reasons: Vec<String>,
    },
    /// A resolver found the reference corrupt.
    Corrupt {
        /// The resolver.
        resolver: String,
        /// What is wrong and where.
        what: String,
    },
    /// A resolver failed. No further resolver was asked.
    Failed {
        /// The resolver's failure.
        error: String,
    },
}

/// Who has written the references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedBy {
    /// The user, on the command line: resolvers may read the files that they name, anywhere.
    User,
    /// A project, in a job file: only built-in resolvers may read what is outside of the project.
    Project,
}

/// The answers to all references of a job.
#[derive(Debug, Default)]
pub struct Resolutions {
    /// The references in the user's order, with directories replaced by their files. Files of
    /// directories that no resolver takes are left out.
    pub resolved: Vec<Resolved>,
    /// Warnings about tests that may be missing: see [`WarningCause`].
    pub warnings: Vec<Warning>,
    /// The number of files in directories that no resolver recognizes.
    pub untaken: usize,
    /// The number of files in directories that `references.exclude` leaves out.
    pub excluded: usize,
    /// Directories of job results below the references, which were not searched.
    pub results: Vec<String>,
    /// The names of runnables that stand for many tests and were not listed, because nothing may
    /// run.
    pub unlisted: Vec<String>,
}

/// Replaces runnables that stand for many tests by those tests.
pub trait TestLister {
    /// Lists what resolvers have returned.
    fn list(&mut self, resolutions: &mut Resolutions) -> impl Future<Output = ()> + Send;
}

impl Resolutions {
    /// Appends the answers to other references.
    pub fn append(&mut self, other: Self) {
        self.resolved.extend(other.resolved);
        self.warnings.extend(other.warnings);
        self.untaken += other.untaken;
        self.excluded += other.excluded;
        self.results.extend(other.results);
        self.unlisted.extend(other.unlisted);
    }
}

/// The spawners of the tests among these answers, at least one.
pub fn spawners_of(resolved: &[Resolved], config: &Config) -> Vec<SpawnerKind> {
    let runnables = resolved.iter().flat_map(|resolved| match &resolved.answer {
        Answer::Found { runnables, .. } => runnables.as_slice(),
        Answer::Missing { .. } | Answer::Corrupt { .. } | Answer::Failed { .. } => &[],
    });
    own_spawner::spawners_of_runnables(runnables.map(|runnable| &**runnable), config)
}

/// The most that is shown of an undeclared kind, in bytes.
const SHOWN: usize = 100;

/// The number of references that a worker takes at a time.
const CHUNK: usize = 32;

/// Resolves all references, several at once. The answers are in the order of the references.
pub async fn resolve(
    catalog: &Arc<Catalog>,
    config: &Config,
    rules: &Arc<KindRules>,
    references: &[String],
    typed_by: TypedBy,
) -> Resolutions {
    let WalkedReferences {
        wanted,
        directories,
        warnings,
        results,
        excluded,
        ..
    } = walk(references, rules);
    let wanted = Arc::new(wanted);
    let next = Arc::new(AtomicUsize::new(0));
    let workers = persea_system::threads::processors().min(wanted.len().div_ceil(CHUNK));
    let threads = catalog.threads();
    let mut running = Vec::new();
    for _ in 0..workers {
        let (catalog, wanted, next) = (Arc::clone(catalog), Arc::clone(&wanted), Arc::clone(&next));
        let (config, rules) = (config.clone(), Arc::clone(rules));
        running.push(threads.spawn(async move {
            let mut worker = Worker::new(&catalog, &config, &rules, typed_by);
            let mut done = Vec::new();
            loop {
                let start = next.fetch_add(CHUNK, Ordering::Relaxed);
                let Some(chunk) = wanted
                    .get(start..(start + CHUNK).min(wanted.len()))
                    .filter(|chunk| !chunk.is_empty())
                else {
                    return done;
                };
                for (offset, wanted) in chunk.iter().enumerate() {
                    done.push((start + offset, worker.resolve(wanted).await));
                }
            }
        }));
    }
    let mut answers = Vec::with_capacity(wanted.len());
    for worker in running {
        // A worker only panics through a bug of the host; its references then get an error below.
        answers.extend(worker.await.unwrap_or_default());
    }
    answers.sort_by_key(|(index, _)| *index);
    let mut answers = answers.into_iter().peekable();
    let mut resolutions = Resolutions {
        resolved: Vec::with_capacity(wanted.len()),
        warnings,
        untaken: 0,
        excluded: excluded.len(),
        results,
        unlisted: Vec::new(),
    };
    let same_directory = |one: &WalkedReference, other: &WalkedReference| {
        one.directory.is_some() && one.directory == other.directory
    };
    let mut index = 0;
    for group in wanted.chunk_by(same_directory) {
        let directory = group.first().and_then(|first| first.directory);
        let directory = directory.and_then(|index| directories.get(index));
        let before = resolutions.resolved.len();
        for wanted in group {
            let (answer, warnings) = match answers.next_if(|(at, _)| *at == index) {
                Some((_, answer)) => answer,
                None => {
                    let error =
                        "the host failed while resolving it; this is a bug of Persea".into();
                    (Answer::Failed { error }, Vec::new())
                }
            };
            index += 1;
            let is_warned_of = !warnings.is_empty();
            resolutions.warnings.extend(warnings);
            match answer {
                Answer::Missing { reasons } if wanted.directory.is_some() => {
                    resolutions.untaken += usize::from(!is_warned_of);
                    tracing::info!(
                        "no resolver recognizes {}: {}",
                        printable(&wanted.reference),
                        printable(&reasons.join("; "))
                    );
                }
                answer => resolutions.resolved.push(Resolved {
                    reference: wanted.reference.clone(),
                    answer,
                }),
            }
        }
        if let Some(directory) = directory
            && resolutions.resolved.len() == before
        {
            resolutions.resolved.push(Resolved {
                reference: directory.clone(),
                answer: Answer::Missing {
                    reasons: vec![none_taken(group.len())],
                },
            });
        }
    }
    resolutions
}

/// The reason of a directory none of whose files was taken.
fn none_taken(files: usize) -> String {
    let files = match files {
        1 => "its only file".to_owned(),
        files => format!("any of its {files} files"),
    };
    format!("no resolver recognizes {files}; `-v` says why")
}

/// The answer for a resolver's runnables, which must be of the kinds that it declares.
fn found(plugin: &Arc<Plugin>, runnables: Vec<Arc<Runnable>>) -> Answer {
    let kinds = runnables.iter().map(|runnable| runnable.kind.as_str());
    if let Some(kind) = plugin.undeclared(kinds) {
        let declared = match plugin.kinds.as_slice() {
            [] => "none".to_owned(),
            kinds => kinds.join(", "),
        };
        return Answer::Failed {
            error: format!(
                "{} has made a runnable of the undeclared kind `{}`; it declares: {declared}",
                plugin.label(),
                cut(kind, SHOWN)
            ),
        };
    }
    Answer::Found {
        resolver: plugin.name.clone(),
        runnables,
        provenance: Provenance::only(plugin),
    }
}

/// Asks the resolvers, with one live instance of each.
struct Worker<'a> {
    catalog: &'a Catalog,
    config: &'a Config,
    rules: &'a KindRules,
    typed_by: TypedBy,
    instances: Vec<Option<Resolver>>,
}

impl<'a> Worker<'a> {
    fn new(
        catalog: &'a Catalog,
        config: &'a Config,
        rules: &'a KindRules,
        typed_by: TypedBy,
    ) -> Self {
        let instances = catalog.resolvers().map(|_| None).collect();
        Self {
            catalog,
            config,
            rules,
            typed_by,
            instances,
        }
    }

    /// A rule of the project comes before the resolvers.
    async fn resolve(&mut self, wanted: &WalkedReference) -> (Answer, Vec<Warning>) {
        let reference = wanted.reference.as_str();
        if let Some(why) = &wanted.missing {
            let reasons = vec![why.clone()];
            return (Answer::Missing { reasons }, Vec::new());
        }
        let catalog = self.catalog;
        let is_resolved = |kind: &str| catalog.resolvers().any(|it| resolves(it, kind));
        let is_file = || std::fs::metadata(reference).is_ok_and(|meta| meta.is_file());
        match self.rules.answer(reference, is_resolved) {
            Some(answer) if is_file() => self.resolve_by_rule(wanted, answer).await,
            Some(_) | None => self.ask(wanted, None).await,
        }
    }

    /// Answers for a file that a rule matches.
    async fn resolve_by_rule(
        &mut self,
        wanted: &WalkedReference,
        answer: RuleAnswer,
    ) -> (Answer, Vec<Warning>) {
        let (kind, rule) = match answer {
            RuleAnswer::Runnable(runnable) => {
                let answer = Answer::Found {
                    resolver: "[[kind]]".to_owned(),
                    runnables: vec![Arc::new(*runnable)],
                    provenance: Provenance::default(),
                };
                return (answer, Vec::new());
            }
            RuleAnswer::NeedlessProgram(kind) => {
                let error = format!(
                    "a `[[kind]]` has a `program`, and the kind `{kind}` runs its files by itself: \
                     leave the `program` out"
                );
                return (Answer::Failed { error }, Vec::new());
            }
            RuleAnswer::Resolve { kind, rule } => (kind, rule),
        };
        let (mut answer, warnings) = self.ask(wanted, Some(&kind)).await;
        match &mut answer {
            Answer::Found { runnables, .. } => {
                for runnable in runnables {
                    self.rules.add_to(rule, Arc::make_mut(runnable));
                }
            }
            Answer::Missing { reasons } => {
                let error = format!(
                    "a `[[kind]]` says that the file is of the kind `{kind}`, and no resolver of \
                     the kind takes it: {}{}",
                    reasons.join("; "),
                    match PROGRAM_KINDS.contains(&kind.as_str()) {
                        true => "; or say what runs it: `program = [\"perl\", \"{path}\"]`",
                        false => "",
                    }
                );
                answer = Answer::Failed { error };
            }
            Answer::Corrupt { .. } | Answer::Failed { .. } => {}
        }
        (answer, warnings)
    }

    /// Asks the resolvers, or those of one kind, one after the other, until one takes the
    /// reference, finds it corrupt or fails. A failing resolver may be the one that the reference
    /// belongs to, so no other is asked after it.
    async fn ask(
        &mut self,
        wanted: &WalkedReference,
        kind: Option<&str>,
    ) -> (Answer, Vec<Warning>) {
        let reference = wanted.reference.as_str();
        let mut warnings = Vec::new();
        let mut reasons = Vec::new();
        let mut errors = Vec::new();
        for (plugin, instance) in self.catalog.resolvers().zip(&mut self.instances) {
            if kind.is_some_and(|kind| !resolves(plugin, kind)) {
                continue;
            }
            let mut resolver = match instance.take() {
                Some(resolver) => resolver,
                None => {
                    let settings = plugin.configured(self.config);
                    match Resolver::new(plugin, &settings).await {
                        Ok(resolver) => resolver,
                        Err(error) => return (failed(&error), warnings),
                    }
                }
            };
            let warning = |cause, message| Warning {
                cause,
                reference: Some(reference.to_owned()),
                plugin: Some(plugin.label().to_owned()),
                message,
            };
            let may_read = self.typed_by == TypedBy::User || plugin.is_built_in();
            let answer = resolver.resolve(reference, may_read).await;
            let logged = resolver.take_warnings().into_iter();
            warnings.extend(logged.map(|message| warning(WarningCause::Incomplete, message)));
            let answer = match answer {
                Ok(Resolution::NotFound(why)) => {
                    *instance = Some(resolver);
                    reasons.push(format!("{}: {why}", plugin.name));
                    continue;
                }
                Err(PluginError::Answer {
                    plugin,
                    code,
                    message,
                    is_infrastructure: _,
                }) => {
                    *instance = Some(resolver);
                    let message = format!("{message} ({code})");
                    reasons.push(format!("{plugin}: {message}"));
                    errors.push(warning(WarningCause::ResolverError, message));
                    continue;
                }
                Ok(Resolution::Found { runnables, .. }) => {
                    *instance = Some(resolver);
                    found(plugin, runnables)
                }
                Ok(Resolution::Corrupt(what)) => {
                    *instance = Some(resolver);
                    Answer::Corrupt {
                        resolver: plugin.name.clone(),
                        what,
                    }
                }
                // The failed instance is dropped; the next reference gets a fresh one.
                Err(error) => failed(&error),
            };
            warnings.append(&mut errors);
            return (answer, warnings);
        }
        if wanted.directory.is_some() {
            // For a typed reference the user sees the reasons instead.
            warnings.append(&mut errors);
            if warnings.is_empty()
                && let Some(why) = unreadable_file(reference)
            {
                warnings.push(unreadable(reference, &why));
            }
        }
        (Answer::Missing { reasons }, warnings)
    }
}

/// Whether a resolver makes runnables of a kind. One of any kind reads recipes.
fn resolves(plugin: &Plugin, kind: &str) -> bool {
    plugin.kinds.iter().any(|own| own == kind)
}

/// The answer for a reference on which a resolver failed.
fn failed(error: &PluginError) -> Answer {
    Answer::Failed {
        error: error.to_string(),
    }
}

/// Why this user cannot read a file; none where it is readable or not a file.
fn unreadable_file(path: &str) -> Option<String> {
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let access = rustix::fs::access(path, rustix::fs::Access::READ_OK);
    let error = access.err().filter(|_| is_file)?;
    Some(std::io::Error::from(error).to_string())
}
