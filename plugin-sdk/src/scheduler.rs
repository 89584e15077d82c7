//! Owns the world `scheduler`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::scheduler as raw;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Status};
use std::cell::RefCell;

#[doc(inline)]
pub use crate::bindings::scheduler::Choice;

/// Decides which task starts next. It sees the tasks, their dependencies and the results so far.
///
/// A job has at most one scheduler, which the user selects by name (`run.scheduler`). One value,
/// created by [`Default`], lives for the whole job. A task is identified by its position in the
/// plan, from 0. If the scheduler fails, panics or times out (5 s for each call by default), the
/// job goes on without it, in the order of the plan.
///
/// Powers: [`log`](crate::log).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
///
/// /// Starts the tasks in reverse order.
/// #[derive(Default)]
/// struct Backwards;
///
/// impl Scheduler for Backwards {
///     fn describe() -> Description {
///         Description::new("backwards", "the last task first")
///     }
///
///     fn begin(&mut self, _: Vec<Node>, _: &Attributes) -> Result<(), Error> {
///         Ok(())
///     }
///
///     fn next(&mut self, ready: &[u32]) -> Result<Choice, Error> {
///         Ok(ready.last().map_or(Choice::Wait, |task| Choice::Start(*task)))
///     }
/// }
///
/// export!(scheduler: Backwards);
/// # assert!(matches!(Backwards.next(&[3, 5]), Ok(Choice::Start(5))));
/// ```
pub trait Scheduler: Default {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Starts a job. `nodes` has the job's tasks in the order of the plan, `settings` the settings
    /// that the plugin's description asks for.
    ///
    /// # Errors
    /// After an error the job goes on without the scheduler.
    fn begin(&mut self, nodes: Vec<Node>, settings: &Attributes) -> Result<(), Error>;

    /// Reports that a task ended. Does nothing by default.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    fn ended(&mut self, task: u32, status: Status) -> Result<(), Error> {
        let _ = (task, status);
        Ok(())
    }

    /// Decides what to do with a free slot. `ready` has the tasks that could start now, in the
    /// order of the plan: all of them, or the first 4,096.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error>;
}

/// One task of the job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The task's id: `12-tests/a.py:T.test;variant`.
    pub id: String,
    /// The task's name, for people.
    pub name: String,
    /// The kind of the task's runnable.
    pub kind: String,
    /// The tasks that must pass before this one starts.
    pub needs: Vec<u32>,
    /// The tasks that must end before this one starts, with any status.
    pub after: Vec<u32>,
    /// Further data. The host sets `suite` (text), `variant` (json), `tags` (json, an object of
    /// lists), and, from the latest job that ran the test, `last-status` (text) and `last-elapsed`
    /// (integer, nanoseconds).
    pub more: Attributes,
}

impl Node {
    /// Creates a task without dependencies, whose id is its name, for unit tests.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            id: name.clone(),
            name,
            ..Self::default()
        }
    }

    /// Adds tasks that must pass before this one starts.
    #[must_use]
    pub fn needs<I: IntoIterator<Item = u32>>(mut self, tasks: I) -> Self {
        self.needs.extend(tasks);
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// A [`Scheduler`] as a trait object.
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
    /// The value of the scheduler that this component exports.
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
