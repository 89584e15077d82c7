//! Owns the listing of tests: a runnable that stands for many tests is replaced by those tests,
//! which a lister plugin names by running something in an environment. Answers are kept from job
//! to job. Does not know how runnables were resolved, nor what becomes of the tests.

mod call;
mod encoded;
mod kept;
mod place;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use crate::input::provenance::Provenance;
use crate::input::resolve::{Answer, Resolutions, Resolved, TestLister};
use call::ListingCall;
use kept::KeptListings;
use persea_config::Config;
use persea_model::names::cut;
use persea_model::{Runnable, SpawnerKind, weight};
use persea_plugin::Catalog;

pub use place::ListingPlace;

/// Returns the place for the processes of listers with a spawner, which the first lister that must
/// run needs.
pub type OpenPlace<'a> = Box<dyn Fn(SpawnerKind) -> OpenedPlace<'a> + Send + Sync + 'a>;

/// The future of an [`OpenPlace`]. The error is for people.
pub type OpenedPlace<'a> = Pin<Box<dyn Future<Output = Result<ListingPlace, String>> + Send + 'a>>;

/// Lists the tests of runnables that stand for many.
pub struct TestListing<'a> {
    catalog: &'a Arc<Catalog>,
    config: &'a Config,
    kept: Option<KeptListings>,
    /// None: nothing may run, and only kept answers are used.
    open: Option<OpenPlace<'a>>,
    places: BTreeMap<SpawnerKind, Arc<ListingPlace>>,
    /// The tasks that call listers.
    workers: JoinSet<Vec<Listable>>,
}

/// A runnable that a lister replaces, by its position among the answers.
struct Listable {
    answer: usize,
    runnable: usize,
    call: ListingCall,
    tests: Result<Vec<Arc<Runnable>>, String>,
}

/// The longest reason of a failed listing, in bytes.
const LONGEST_REASON: usize = 2_000;

impl<'a> TestListing<'a> {
    /// A listing for a job. `cache` is the user's cache directory, if there is a safe one. Without
    /// `open` no lister runs: runnables without a kept answer stay unlisted.
    pub fn new(
        catalog: &'a Arc<Catalog>,
        config: &'a Config,
        cache: Option<&std::path::Path>,
        open: Option<OpenPlace<'a>>,
    ) -> Self {
        Self {
            catalog,
            config,
            kept: cache.map(KeptListings::new),
            open,
            places: BTreeMap::new(),
            workers: JoinSet::new(),
        }
    }

    /// Ends the listers that still run, and the environments in which they have run.
    pub async fn close(mut self) {
        self.workers.shutdown().await;
        for place in self.places.into_values() {
            place.close().await;
        }
    }

    /// Returns the runnables that listers replace, in order.
    fn listable(&self, resolutions: &Resolutions) -> Vec<Listable> {
        let mut all = Vec::new();
        for (answer, resolved) in resolutions.resolved.iter().enumerate() {
            let Answer::Found {
                runnables,
                provenance,
                ..
            } = &resolved.answer
            else {
                continue;
            };
            for (index, runnable) in runnables.iter().enumerate() {
                let Some(lister) = self.catalog.lister(&runnable.kind) else {
                    continue;
                };
                let call = ListingCall::new(lister, runnable, provenance, self.config);
                all.push(Listable {
                    answer,
                    runnable: index,
                    call,
                    tests: Err("it was not listed".to_owned()),
                });
            }
        }
        all
    }

    /// Returns the place for the processes of listers with a spawner, which the first call opens;
    /// none if nothing may run.
    async fn place(&mut self, spawner: SpawnerKind) -> Option<Result<Arc<ListingPlace>, String>> {
        let open = self.open.as_ref()?;
        if let Some(place) = self.places.get(&spawner) {
            return Some(Ok(Arc::clone(place)));
        }
        let opened = open(spawner).await.map(Arc::new);
        if let Ok(place) = &opened {
            self.places.insert(spawner, Arc::clone(place));
        }
        Some(opened)
    }

    /// Runs the listers of these runnables, several at once. The answers are in no order.
    async fn run(&mut self, place: &Arc<ListingPlace>, missing: Vec<Listable>) -> Vec<Listable> {
        let total = missing.len();
        let queue = Arc::new(Mutex::new(VecDeque::from(missing)));
        for slot in place.slots.iter().take(total) {
            let slot = Arc::clone(slot);
            let (place, queue) = (Arc::clone(place), Arc::clone(&queue));
            let (catalog, config) = (Arc::clone(self.catalog), self.config.clone());
            let kept = self.kept.clone();
            self.workers.spawn(async move {
                let next = || {
                    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.pop_front()
                };
                let mut done = Vec::new();
                while let Some(mut listable) = next() {
                    let run = listable.call.run(&place, &slot, &catalog, &config);
                    listable.tests = match run.await {
                        Ok(mut listing) => {
                            // The tests run where their program was to run.
                            listable.call.place(&mut listing.tests);
                            if let Some(kept) = &kept {
                                kept.put(listable.call.key(), &listing);
                            }
                            Ok(listing.tests)
                        }
                        Err(why) => Err(why),
                    };
                    done.push(listable);
                }
                done
            });
        }
        let mut done = Vec::with_capacity(total);
        while let Some(worker) = self.workers.join_next().await {
            // A worker only panics through a bug of the host; its runnables then stay in the plan
            // as they are, and their runner reports what is wrong with them.
            done.extend(worker.unwrap_or_default());
        }
        done
    }

    /// Returns a kept answer, if it counts towards the memory of the job.
    fn kept(&self, call: &ListingCall) -> Option<Vec<Arc<Runnable>>> {
        let tests = self.kept.as_ref()?.get(call.key())?;
        let bytes = tests.iter().map(|test| weight::of_runnable(test)).sum();
        self.catalog.memory().add(bytes).ok()?;
        Some(tests)
    }
}

impl TestLister for TestListing<'_> {
    async fn list(&mut self, resolutions: &mut Resolutions) {
        let mut missing = Vec::new();
        let mut done = Vec::new();
        for mut listable in self.listable(resolutions) {
            match listable.call.refusal() {
                Some(why) => listable.tests = Err(why.to_owned()),
                None => match self.kept(&listable.call) {
                    Some(tests) => listable.tests = Ok(tests),
                    None => {
                        missing.push(listable);
                        continue;
                    }
                },
            }
            done.push(listable);
        }
        let mut by_spawner: BTreeMap<SpawnerKind, Vec<Listable>> = BTreeMap::new();
        for listable in missing {
            let of_spawner = by_spawner.entry(listable.call.spawner).or_default();
            of_spawner.push(listable);
        }
        for (spawner, missing) in by_spawner {
            match self.place(spawner).await {
                Some(Ok(place)) => done.extend(self.run(&place, missing).await),
                Some(Err(why)) => done.extend(missing.into_iter().map(|listable| Listable {
                    tests: Err(why.clone()),
                    ..listable
                })),
                None => {
                    let names = missing.iter().map(|it| it.call.name().to_owned());
                    resolutions.unlisted.extend(names);
                }
            }
        }
        done.sort_by_key(|listable| (listable.answer, listable.runnable));
        replace(resolutions, done);
    }
}

/// Puts the tests of each listed runnable in its place. A runnable whose listing failed becomes an
/// answer of its own, so that it costs no other runnable of its reference.
fn replace(resolutions: &mut Resolutions, listed: Vec<Listable>) {
    if listed.is_empty() {
        return;
    }
    let mut listed = listed.into_iter().peekable();
    let resolved = std::mem::take(&mut resolutions.resolved);
    for (
        answer,
        Resolved {
            reference,
            answer: found,
        },
    ) in resolved.into_iter().enumerate()
    {
        let is_listed = listed.peek().is_some_and(|next| next.answer == answer);
        let (resolver, runnables, provenance) = match found {
            Answer::Found {
                resolver,
                runnables,
                provenance,
            } if is_listed => (resolver, runnables, provenance),
            answer => {
                resolutions.resolved.push(Resolved { reference, answer });
                continue;
            }
        };
        let mut pieces = Pieces {
            reference,
            resolver,
            done: Vec::new(),
            open: Vec::new(),
            provenance: provenance.clone(),
        };
        for (index, runnable) in runnables.into_iter().enumerate() {
            let is_next = |next: &Listable| next.answer == answer && next.runnable == index;
            let Some(listable) = listed.next_if(is_next) else {
                pieces.close_unless(&provenance);
                pieces.open.push(runnable);
                continue;
            };
            match listable.tests {
                Ok(tests) => {
                    pieces.close_unless(&listable.call.provenance);
                    pieces.open.extend(tests);
                }
                Err(why) => pieces.fail(listable.call.name(), &why),
            }
        }
        resolutions.resolved.append(&mut pieces.end());
    }
}

/// The answers into which one answer is divided: runnables of one provenance each, and failures.
struct Pieces {
    reference: String,
    resolver: String,
    done: Vec<Resolved>,
    open: Vec<Arc<Runnable>>,
    provenance: Provenance,
}

impl Pieces {
    fn push(&mut self, reference: String, answer: Answer) {
        self.done.push(Resolved { reference, answer });
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let answer = Answer::Found {
                resolver: self.resolver.clone(),
                runnables: std::mem::take(&mut self.open),
                provenance: self.provenance.clone(),
            };
            self.push(self.reference.clone(), answer);
        }
    }

    fn close_unless(&mut self, provenance: &Provenance) {
        if self.provenance.digests() != provenance.digests() {
            self.close();
            self.provenance = provenance.clone();
        }
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.close();
        let error = format!("its tests cannot be listed: {}", cut(why, LONGEST_REASON));
        // A reference such as `pytest:.` ends with the name.
        let is_named = match self.reference.trim_end_matches('/').strip_suffix(name) {
            Some(prefix) => prefix.is_empty() || prefix.ends_with(':'),
            None => false,
        };
        let reference = match is_named {
            true => self.reference.clone(),
            false => format!("{}: {name}", self.reference),
        };
        self.push(reference, Answer::Failed { error });
    }

    /// Returns the pieces; a reference without any test keeps an empty answer.
    fn end(mut self) -> Vec<Resolved> {
        self.close();
        if self.done.is_empty() {
            let answer = Answer::Found {
                resolver: self.resolver.clone(),
                runnables: Vec::new(),
                provenance: self.provenance.clone(),
            };
            self.push(self.reference.clone(), answer);
        }
        self.done
    }
}
