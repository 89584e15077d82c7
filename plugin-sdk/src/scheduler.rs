//! Owns the world `scheduler`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::scheduler as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::json;
use crate::model::{Status, strings};
use std::cell::RefCell;
use std::time::Duration;

/// Decides which task starts next. It sees the tasks, their dependencies and the results so far.
///
/// A job has at most one scheduler, which the user selects by name (`run.scheduler`). One value,
/// made by [`start_job`](Self::start_job), lives for the whole job. A task is identified by its
/// position in the plan, from 0. If the scheduler fails, panics or times out (5 s for each call by
/// default), the job goes on without it, in the order of the plan.
///
/// Powers: [`log`](crate::log).
///
/// ```
/// use persea_plugin_sdk::prelude::*;
///
/// /// Starts the tasks in reverse order.
/// struct Backwards;
///
/// impl Plugin for Backwards {
///     fn describe() -> Description {
///         Description::new("backwards", "the last task first").role(Role::scheduler())
///     }
/// }
///
/// impl Scheduler for Backwards {
///     fn start_job(_: &ScheduledJob) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error> {
///         let last = turn.ready.iter().rev().take(turn.slots as usize);
///         Ok(last.fold(Choice::wait(), |choice, task| choice.start(*task)))
///     }
/// }
///
/// export!(Backwards: scheduler);
/// # let choice = Backwards.next_tasks(&Turn::new([3, 5, 8], 2));
/// # assert_eq!(choice, Ok(Choice::wait().start(8).start(5)));
/// ```
pub trait Scheduler: Sized + 'static {
    /// Starts a job.
    ///
    /// # Errors
    /// After an error the job goes on without the scheduler.
    fn start_job(job: &ScheduledJob) -> Result<Self, Error>;

    /// Receives a part of the plan: at most 4,096 tasks, in the order of the plan. The host calls
    /// this until the scheduler has the whole plan, and then asks for the first tasks. Does nothing
    /// by default.
    ///
    /// # Errors
    /// As for [`start_job`](Self::start_job).
    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
        let _ = nodes;
        Ok(())
    }

    /// Reports the tasks that ended since the last call, at least one. Does nothing by default.
    ///
    /// # Errors
    /// As for [`start_job`](Self::start_job).
    fn tasks_ended(&mut self, ends: &[TaskEnd]) -> Result<(), Error> {
        let _ = ends;
        Ok(())
    }

    /// Decides what to do with free slots.
    ///
    /// # Errors
    /// As for [`start_job`](Self::start_job).
    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error>;
}

/// The job that starts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduledJob {
    /// The number of tasks in the plan.
    pub tasks: u32,
    /// The plugin's settings.
    pub settings: Attributes,
    /// Further data. The host sets `slots` (integer), how many tasks can run at once.
    pub more: Attributes,
}

impl ScheduledJob {
    /// Creates a job without settings, for unit tests.
    pub fn new(tasks: u32) -> Self {
        Self {
            tasks,
            ..Self::default()
        }
    }

    /// Sets the value of a setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
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
    /// Further data. The host sets what the task has of: `suite` (text), `variant` (json), `tags`
    /// (json, an object of lists), `resources` (json, as that of a runnable), `mutexes` (json, a
    /// list of names), `requirements` (json, a list of objects with `kind` and `uri`), and, from
    /// the latest job that ran the test, `last-status` (text) and `last-elapsed` (integer,
    /// nanoseconds).
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

    /// The task's running time in the latest job that ran the test.
    pub fn last_elapsed(&self) -> Option<Duration> {
        self.more.duration("last-elapsed")
    }
}

/// A task that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskEnd {
    /// The task.
    pub task: u32,
    /// How it ended.
    pub status: Status,
    /// Further data. The host sets `elapsed` (integer, nanoseconds).
    pub more: Attributes,
}

impl TaskEnd {
    /// Creates the end of a task, for unit tests.
    pub fn new(task: u32, status: Status) -> Self {
        Self {
            task,
            status,
            more: Attributes::new(),
        }
    }

    /// The task's running time.
    pub fn elapsed(&self) -> Option<Duration> {
        self.more.duration("elapsed")
    }
}

/// A moment at which tasks could start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// The tasks that could start now, in the order of the plan: all of them, or the first 4,096.
    pub ready: Vec<u32>,
    /// How many tasks can start now; at least one.
    pub slots: u32,
    /// Further data. The host sets:
    ///
    /// * `free` (json, an object of lists of texts): the instances of each resource that no task
    ///   holds, where the instances have names
    /// * `held` (json, an object of such objects), where there are any: the instances that ready
    ///   tasks hold already, by the position of the task (`"7"`), because requirements of the task
    ///   are met on them
    pub more: Attributes,
}

impl Turn {
    /// Creates a turn, for unit tests.
    pub fn new(ready: impl Into<Vec<u32>>, slots: u32) -> Self {
        Self {
            ready: ready.into(),
            slots,
            more: Attributes::new(),
        }
    }

    /// The instances of a resource that no task holds.
    pub fn free(&self, resource: &str) -> Vec<String> {
        let all = self.more.json("free").and_then(json::texts_by_name);
        let mut all = all.unwrap_or_default().into_iter();
        let of_resource = all.find(|(name, _)| name == resource);
        of_resource.map_or_else(Vec::new, |(_, instances)| instances)
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// A task that starts.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStart {
    /// One of the ready tasks.
    pub task: u32,
    /// Further data. The host understands `instances` (json, an object of lists of texts): the
    /// instances of a resource that the task gets. The host chooses the others that the task takes.
    /// One that is not free, that does not exist or that the task does not take is an error of the
    /// scheduler.
    pub more: Attributes,
}

impl TaskStart {
    /// Starts a task, with the instances that the host chooses.
    pub fn new(task: u32) -> Self {
        Self {
            task,
            more: Attributes::new(),
        }
    }

    /// Gives the task these instances of a resource, which must be [free](Turn::free).
    #[must_use]
    pub fn instances<I: IntoIterator<Item: Into<String>>>(
        mut self,
        resource: impl Into<String>,
        instances: I,
    ) -> Self {
        let all = self.more.json("instances").and_then(json::texts_by_name);
        let mut all = all.unwrap_or_default();
        all.push((resource.into(), strings(instances)));
        self.more.insert("instances", Value::Json(json::lists(all)));
        self
    }
}

impl From<u32> for TaskStart {
    fn from(task: u32) -> Self {
        Self::new(task)
    }
}

/// A scheduling decision. With nothing to start and nothing to cancel, no task starts until another
/// one ends; when no task is running, the host starts the first ready one anyway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// These tasks start, in this order. The host starts as many as there are slots.
    pub start: Vec<TaskStart>,
    /// These tasks, ready or not, never run: they end with status CANCEL.
    pub cancel: Vec<u32>,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

impl Choice {
    /// Starts and cancels nothing.
    pub fn wait() -> Self {
        Self::default()
    }

    /// Starts a task: its position in the plan, or a [`TaskStart`].
    #[must_use]
    pub fn start(mut self, task: impl Into<TaskStart>) -> Self {
        self.start.push(task.into());
        self
    }

    /// Cancels a task.
    #[must_use]
    pub fn cancel(mut self, task: u32) -> Self {
        self.cancel.push(task);
        self
    }
}

impl From<raw::Node> for Node {
    fn from(node: raw::Node) -> Self {
        Self {
            id: node.id,
            name: node.name,
            kind: node.kind,
            needs: node.needs,
            after: node.after,
            more: Attributes(node.more),
        }
    }
}

impl From<Choice> for raw::Choice {
    fn from(choice: Choice) -> Self {
        let start = |start: TaskStart| raw::TaskStart {
            task: start.task,
            more: start.more.0,
        };
        Self {
            start: choice.start.into_iter().map(start).collect(),
            cancel: choice.cancel,
            more: choice.more.0,
        }
    }
}

/// A [`Scheduler`] as a trait object.
trait Policy {
    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error>;
    fn tasks_ended(&mut self, ends: &[TaskEnd]) -> Result<(), Error>;
    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error>;
}

impl<S: Scheduler> Policy for S {
    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
        Scheduler::add_to_plan(self, nodes)
    }

    fn tasks_ended(&mut self, ends: &[TaskEnd]) -> Result<(), Error> {
        Scheduler::tasks_ended(self, ends)
    }

    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error> {
        Scheduler::next_tasks(self, turn)
    }
}

thread_local! {
    /// The value of the scheduler that this component exports, from `start-job` on.
    static POLICY: RefCell<Option<Box<dyn Policy>>> = const { RefCell::new(None) };
}

/// Calls a function with the scheduler's value.
fn with_policy<T>(
    call: impl FnOnce(&mut dyn Policy) -> Result<T, Error>,
) -> Result<T, types::Error> {
    POLICY.with_borrow_mut(|policy| match policy {
        Some(policy) => Ok(call(&mut **policy)?),
        None => Err(Error::new("invalid", "the job has not started").into()),
    })
}

const DONE: types::Done = types::Done { more: Vec::new() };

impl<P: Scheduler> raw::Guest for Adapter<P> {
    fn start_job(job: raw::Job) -> Result<types::Done, types::Error> {
        start();
        let policy = P::start_job(&ScheduledJob {
            tasks: job.tasks,
            settings: Attributes(job.settings),
            more: Attributes(job.more),
        })?;
        POLICY.set(Some(Box::new(policy)));
        Ok(DONE)
    }

    fn add_to_plan(page: raw::PlanPage) -> Result<types::Done, types::Error> {
        let nodes = page.nodes.into_iter().map(Into::into).collect();
        with_policy(|policy| policy.add_to_plan(nodes)).map(|()| DONE)
    }

    fn tasks_ended(ends: raw::TaskEnds) -> Result<types::Done, types::Error> {
        let end = |end: raw::TaskEnd| TaskEnd {
            task: end.task,
            status: end.status,
            more: Attributes(end.more),
        };
        let ends: Vec<TaskEnd> = ends.ends.into_iter().map(end).collect();
        with_policy(|policy| policy.tasks_ended(&ends)).map(|()| DONE)
    }

    fn next_tasks(turn: raw::Turn) -> Result<raw::Choice, types::Error> {
        let turn = Turn {
            ready: turn.ready,
            slots: turn.slots,
            more: Attributes(turn.more),
        };
        with_policy(|policy| policy.next_tasks(&turn)).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use raw::Guest as _;

    struct Recorded(Vec<String>);

    impl Scheduler for Recorded {
        fn start_job(job: &ScheduledJob) -> Result<Self, Error> {
            match job.tasks {
                0 => Err(Error::new("empty", "there is no task")),
                _ => Ok(Self(Vec::new())),
            }
        }

        fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
            self.0.extend(nodes.into_iter().map(|node| node.name));
            Ok(())
        }

        fn next_tasks(&mut self, _: &Turn) -> Result<Choice, Error> {
            Ok(Choice::wait().start(TaskStart::new(self.0.len() as u32).instances("board", ["b"])))
        }
    }

    fn job(tasks: u32) -> raw::Job {
        raw::Job {
            tasks,
            settings: Vec::new(),
            more: Vec::new(),
        }
    }

    fn turn() -> raw::Turn {
        raw::Turn {
            ready: vec![0],
            slots: 1,
            more: Vec::new(),
        }
    }

    #[test]
    fn value_of_start_job_lives_for_the_whole_job() {
        type Exported = Adapter<Recorded>;
        assert_eq!(Exported::next_tasks(turn()).unwrap_err().code, "invalid");
        assert_eq!(Exported::start_job(job(0)).unwrap_err().code, "empty");
        Exported::start_job(job(3)).unwrap();
        for nodes in [vec!["a", "b"], vec!["c"]] {
            let node = |name: &str| raw::Node {
                id: name.to_owned(),
                name: name.to_owned(),
                kind: String::new(),
                needs: Vec::new(),
                after: Vec::new(),
                more: Vec::new(),
            };
            let nodes = nodes.into_iter().map(node).collect();
            Exported::add_to_plan(raw::PlanPage {
                nodes,
                more: Vec::new(),
            })
            .unwrap();
        }
        let start = Exported::next_tasks(turn()).unwrap().start;
        let start = start.first().unwrap();
        assert_eq!(start.task, 3);
        let instances = Attributes(start.more.clone());
        assert_eq!(instances.json("instances"), Some(r#"{"board":["b"]}"#));
    }

    #[test]
    fn free_instances_are_read_by_resource() {
        let turn = Turn::new([0], 1).with("free", Value::json(r#"{"board": ["b1", "b2"]}"#));
        assert_eq!(turn.free("board"), ["b1", "b2"]);
        assert_eq!(turn.free("port"), [""; 0]);
    }
}
