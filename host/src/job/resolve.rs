//! References to runnables: every reference is given to the resolvers in their order until one takes it.
//!
//! Owns the walk through directories, the order of answers and what happens when a resolver fails. Knows nothing of ids or plans.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::makers::Makers;
use crate::config::Config;
use crate::model::Runnable;
use crate::names::{cut, printable};
use crate::plugin::{Catalog, Plugin, PluginError, Resolution, Resolver};

/// What became of one reference.
#[derive(Debug)]
pub struct Resolved {
    /// The reference, as the user typed it or as it was found in a directory.
    pub reference: String,
    /// What became of it.
    pub answer: Answer,
}

/// What the resolvers made of a reference.
#[derive(Debug)]
pub enum Answer {
    /// These, by the resolver with this name.
    Found {
        /// The resolver.
        resolver: String,
        /// What it made.
        runnables: Vec<Runnable>,
        /// Whose act it is to run them.
        makers: Makers,
    },
    /// Nobody took it.
    Missing {
        /// Why, a line for each resolver.
        reasons: Vec<String>,
    },
    /// It is broken.
    Corrupt {
        /// The resolver.
        resolver: String,
        /// What is wrong and where.
        what: String,
    },
    /// A resolver failed over it, and nobody else took it.
    Failed {
        /// What failed.
        error: String,
    },
}

/// Who has written the references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedBy {
    /// The user, on the command line: resolvers may read the files that they name, wherever those are.
    User,
    /// A project, in a job file: only built-in resolvers may read what is outside of the project.
    Project,
}

/// A reference that is to be resolved.
struct Wanted {
    reference: String,
    /// The user's own word for it, and not a file that was found in a directory.
    typed: bool,
}

/// The longest that is shown of a kind that nobody has declared, in bytes.
const SHOWN: usize = 100;

/// How many references a worker takes at a time.
const CHUNK: usize = 32;

/// Resolves all references, several at once, and answers in their order. Files in directories that no resolver takes are left out.
pub async fn resolve(
    catalog: &Arc<Catalog>,
    config: &Config,
    references: &[String],
    typed_by: TypedBy,
) -> Vec<Resolved> {
    let wanted = Arc::new(expand(references));
    let next = Arc::new(AtomicUsize::new(0));
    let workers = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(wanted.len().div_ceil(CHUNK));
    let threads = catalog.threads();
    let mut running = Vec::new();
    for _ in 0..workers {
        let (catalog, wanted, next) = (Arc::clone(catalog), Arc::clone(&wanted), Arc::clone(&next));
        let config = config.clone();
        running.push(threads.spawn(async move {
            let mut worker = Worker::new(&catalog, &config, typed_by);
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
                    done.push((start + offset, worker.resolve(&wanted.reference).await));
                }
            }
        }));
    }
    let mut answers = Vec::with_capacity(wanted.len());
    for worker in running {
        // A worker only panics through a bug of the host; its references are then missing below, and said to be.
        answers.extend(worker.await.unwrap_or_default());
    }
    answers.sort_by_key(|(index, _)| *index);
    let mut answers = answers.into_iter().peekable();
    let mut resolved = Vec::with_capacity(wanted.len());
    for (index, wanted) in wanted.iter().enumerate() {
        let answer = match answers.next_if(|(at, _)| *at == index) {
            Some((_, answer)) => answer,
            None => Answer::Failed {
                error: "the host failed while it was resolved; this is a bug".into(),
            },
        };
        if wanted.typed || !matches!(answer, Answer::Missing { .. }) {
            resolved.push(Resolved {
                reference: wanted.reference.clone(),
                answer,
            });
        }
    }
    resolved
}

/// What a resolver has made of a reference, if that is what it may make.
fn found(plugin: &Arc<Plugin>, runnables: Vec<Runnable>) -> Answer {
    let kinds = runnables.iter().map(|runnable| runnable.kind.as_str());
    if let Some(kind) = plugin.undeclared(kinds) {
        let declared = match plugin.kinds.as_slice() {
            [] => "none".to_owned(),
            kinds => kinds.join(", "),
        };
        return Answer::Failed {
            error: format!(
                "{} has made a runnable of the kind `{}`, and the kinds that it declares are: {declared}",
                plugin.label(),
                cut(kind, SHOWN)
            ),
        };
    }
    Answer::Found {
        resolver: plugin.name.clone(),
        runnables,
        makers: Makers::only(plugin),
    }
}

/// Directories become the files in them, sorted, without what begins with a dot.
fn expand(references: &[String]) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for reference in references {
        if !Path::new(reference).is_dir() {
            wanted.push(Wanted {
                reference: reference.clone(),
                typed: true,
            });
            continue;
        }
        let before = wanted.len();
        let visible = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        };
        let walk = walkdir::WalkDir::new(reference).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(visible) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => match entry.path().to_str() {
                    Some(path) => wanted.push(Wanted {
                        reference: path.to_owned(),
                        typed: false,
                    }),
                    None => tracing::warn!(
                        "left out, because its name is no UTF-8 text: {}",
                        printable(&entry.path().to_string_lossy())
                    ),
                },
                Err(error) => {
                    tracing::warn!("left out: {}", printable(&error.to_string()));
                }
            }
        }
        if wanted.len() == before {
            wanted.push(Wanted {
                reference: reference.clone(),
                typed: true,
            });
        }
    }
    wanted
}

/// Asks the resolvers, with one living instance of each.
struct Worker<'a> {
    catalog: &'a Catalog,
    config: &'a Config,
    typed_by: TypedBy,
    instances: Vec<Option<Resolver>>,
}

impl<'a> Worker<'a> {
    fn new(catalog: &'a Catalog, config: &'a Config, typed_by: TypedBy) -> Self {
        let instances = catalog.resolvers().map(|_| None).collect();
        Self {
            catalog,
            config,
            typed_by,
            instances,
        }
    }

    async fn resolve(&mut self, reference: &str) -> Answer {
        let mut reasons = Vec::new();
        let mut failure = None;
        for (plugin, instance) in self.catalog.resolvers().zip(&mut self.instances) {
            let mut resolver = match instance.take() {
                Some(resolver) => resolver,
                None => {
                    let settings = self.config.subset(&plugin.settings);
                    match Resolver::new(self.catalog, plugin, &settings).await {
                        Ok(resolver) => resolver,
                        Err(error) => {
                            failure = Some(error.to_string());
                            continue;
                        }
                    }
                }
            };
            let may_read = self.typed_by == TypedBy::User || plugin.is_built_in();
            match resolver.resolve(reference, may_read).await {
                Ok(answer) => {
                    *instance = Some(resolver);
                    match answer {
                        Resolution::Found(runnables) => return found(plugin, runnables),
                        Resolution::Corrupt(what) => {
                            return Answer::Corrupt {
                                resolver: plugin.name.clone(),
                                what,
                            };
                        }
                        Resolution::NotFound(why) => {
                            reasons.push(format!("{}: {why}", plugin.name))
                        }
                    }
                }
                Err(error @ PluginError::Answer { .. }) => {
                    *instance = Some(resolver);
                    reasons.push(error.to_string());
                }
                // The instance is gone with its failure; the next reference gets a fresh one.
                Err(error) => failure = Some(error.to_string()),
            }
        }
        match failure {
            Some(error) => Answer::Failed { error },
            None => Answer::Missing { reasons },
        }
    }
}
