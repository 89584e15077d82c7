//! The world `scheduler`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::scheduler as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Status};
use std::cell::RefCell;

#[doc(inline)]
pub use crate::bindings::scheduler::Choice;

/// Says which task starts next. Tasks are known by their place in the plan, from 0. One value, made by [`Default`], lives for the
/// whole job; after an error the host goes on without it, in the order of the plan.
///
/// Powers: [`log`](crate::log).
pub trait Scheduler: Default {
    /// Says what the plugin is. Pure and quick.
    fn describe() -> Description;

    /// The job begins. `nodes` are its tasks in the order of the plan.
    ///
    /// # Errors
    /// The host goes on without this scheduler.
    fn begin(&mut self, nodes: Vec<Node>, settings: &Attributes) -> Result<(), Error>;

    /// A task has ended.
    ///
    /// # Errors
    /// As for `begin`.
    fn ended(&mut self, task: u32, status: Status) -> Result<(), Error> {
        let _ = (task, status);
        Ok(())
    }

    /// A slot is free: what is to be done? `ready` are tasks that can start now, in the order of the plan.
    ///
    /// # Errors
    /// As for `begin`.
    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error>;
}

/// A task of the job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its id: `12-tests/a.py:T.test;variant`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The kind of its runnable.
    pub kind: String,
    /// The tasks that must have passed before it can start.
    pub needs: Vec<u32>,
    /// The tasks that must have ended, however.
    pub after: Vec<u32>,
    /// Open data: `suite` (text), `variant` (json), `tags` (json, an object of lists), and `last-status` (text) and `last-elapsed`
    /// (integer, nanoseconds) of the latest job that ran it.
    pub more: Attributes,
}

impl Node {
    /// A task as a test of a scheduler makes it.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            id: name.clone(),
            name,
            ..Self::default()
        }
    }

    /// Adds tasks that must have passed before.
    #[must_use]
    pub fn needs<I: IntoIterator<Item = u32>>(mut self, tasks: I) -> Self {
        self.needs.extend(tasks);
        self
    }

    /// Sets a name of the open data.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// The author's value, whatever its type.
trait Policy {
    fn begin(&mut self, nodes: Vec<Node>, settings: &Attributes) -> Result<(), Error>;
    fn ended(&mut self, task: u32, status: Status) -> Result<(), Error>;
    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error>;
}

impl<S: Scheduler> Policy for S {
    fn begin(&mut self, nodes: Vec<Node>, settings: &Attributes) -> Result<(), Error> {
        Scheduler::begin(self, nodes, settings)
    }

    fn ended(&mut self, task: u32, status: Status) -> Result<(), Error> {
        Scheduler::ended(self, task, status)
    }

    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error> {
        Scheduler::next(self, ready)
    }
}

thread_local! {
    /// The one value of the one scheduler that this component exports.
    static POLICY: RefCell<Option<Box<dyn Policy>>> = const { RefCell::new(None) };
}

fn policy<E: Exported, T>(work: impl FnOnce(&mut dyn Policy) -> T) -> T
where
    E::Plugin: Scheduler + 'static,
{
    start();
    POLICY.with_borrow_mut(|policy| {
        let policy = policy.get_or_insert_with(|| Box::new(E::Plugin::default()));
        work(&mut **policy)
    })
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: Scheduler + 'static,
{
    fn begin(nodes: Vec<raw::Node>, settings: raw::Attributes) -> Result<(), raw::Error> {
        let node = |node: raw::Node| Node {
            id: node.id,
            name: node.name,
            kind: node.kind,
            needs: node.needs,
            after: node.after,
            more: Attributes(node.more),
        };
        let nodes = nodes.into_iter().map(node).collect();
        policy::<E, _>(|policy| Ok(policy.begin(nodes, &Attributes(settings))?))
    }

    fn ended(task: u32, status: Status) -> Result<(), raw::Error> {
        policy::<E, _>(|policy| Ok(policy.ended(task, status)?))
    }

    fn next(ready: Vec<u32>) -> Result<Choice, raw::Error> {
        policy::<E, _>(|policy| Ok(policy.next(&ready)?))
    }
}
