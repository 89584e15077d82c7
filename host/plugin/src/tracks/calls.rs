//! Owns what the host can call in plugins: a trait for each world, with what goes in and what comes
//! out. A track implements the traits for its own generated types. Does not know when a plugin is
//! called, or what becomes of an answer.

use std::pin::Pin;

use wasmtime::Store;

use crate::contract::data::{
    Attributes, Command, Done, Error, Outcome, Requirement, Runnable, Task, Variation,
};
use crate::instance::state::InstanceState;
use persea_model::Status;
use persea_spawner::Exit;

/// The store of one instance.
pub(crate) type InstanceStore = Store<InstanceState>;

/// How a call into a plugin has ended: in a trap, with the plugin's error, or with an answer.
pub(crate) type Called<T> = wasmtime::Result<Result<T, Error>>;

/// A call into a plugin. It may be dropped at any time; then the instance is gone.
pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = Called<T>> + Send + 'a>>;

/// An instance in the making, with the calls `I` of its world.
pub(crate) type Instantiation<'a, I> =
    Pin<Box<dyn Future<Output = wasmtime::Result<Box<I>>> + Send + 'a>>;

/// A linked component that has the calls `I` of one world.
pub(crate) trait Instantiate<I: ?Sized>: Send + Sync {
    /// Makes an instance in a store.
    fn instantiate<'a>(&'a self, store: &'a mut InstanceStore) -> Instantiation<'a, I>;
}

/// A linked component of a world, whatever its track.
pub(crate) type Component<I> = Box<dyn Instantiate<I>>;

/// The calls of world `resolver`.
pub(crate) trait ResolverCalls: Send + Sync {
    /// Resolves one reference.
    fn resolve<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: ResolveRequest,
    ) -> Call<'a, Resolution>;
}

/// What a resolver resolves.
#[derive(Debug)]
pub(crate) struct ResolveRequest {
    pub(crate) reference: String,
    pub(crate) settings: Attributes,
}

/// A resolver's answer.
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) finding: Finding,
    pub(crate) more: Attributes,
}

/// What a resolver found.
#[derive(Debug)]
pub(crate) enum Finding {
    Found(Vec<Runnable>),
    NotFound(String),
    Corrupt(String),
}

/// The calls of world `lister`.
pub(crate) trait ListerCalls: Send + Sync {
    /// Lists the tests of a task's runnable.
    fn list_tests<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, TestList>;
}

/// A lister's answer.
#[derive(Debug)]
pub(crate) struct TestList {
    pub(crate) tests: Vec<Runnable>,
    pub(crate) more: Attributes,
}

/// The calls of world `varianter`.
pub(crate) trait VarianterCalls: Send + Sync {
    /// Returns the variants of one test.
    fn vary<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: VaryRequest,
    ) -> Call<'a, VariationList>;
}

/// A test, and the parameters of its variants.
#[derive(Debug)]
pub(crate) struct VaryRequest {
    pub(crate) runnable: Runnable,
    pub(crate) parameters: Attributes,
    pub(crate) settings: Attributes,
    pub(crate) more: Attributes,
}

/// A varianter's answer.
#[derive(Debug)]
pub(crate) struct VariationList {
    pub(crate) variations: Vec<Variation>,
    pub(crate) more: Attributes,
}

/// The calls of world `runner`.
pub(crate) trait RunnerCalls: Send + Sync {
    /// Runs one task.
    fn run<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, Outcome>;
}

/// The calls of world `batch-runner`.
pub(crate) trait BatchRunnerCalls: Send + Sync {
    /// Runs tasks until there are no more.
    fn run_batch<'a>(&'a self, store: &'a mut InstanceStore, job_id: String) -> Call<'a, Done>;
}

/// The calls of world `program-runner`.
pub(crate) trait ProgramRunnerCalls: Send + Sync {
    /// Returns the alternative commands of a task.
    fn commands<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, Vec<Command>>;

    /// Returns the outcome of a task whose program has ended.
    fn judge<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        task: Task,
        end: ProgramEnd,
    ) -> Call<'a, Outcome>;
}

/// How the program of a task ended.
#[derive(Debug)]
pub(crate) enum ProgramEnd {
    Exited(Exit),
    /// No command could be started: the error of the last one.
    NotStarted(Error),
}

/// The calls of world `requirement-resolver`.
pub(crate) trait RequirementResolverCalls: Send + Sync {
    /// Checks whether a requirement is met.
    fn check<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
    ) -> Call<'a, CheckedRequirement>;

    /// Fulfils a requirement.
    fn fulfil<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
    ) -> Call<'a, FulfilledRequirement>;

    /// Undoes `fulfil`. `undo` is what that returned; none if the host never got to know.
    fn release<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
        undo: Option<Attributes>,
        more: Attributes,
    ) -> Call<'a, Done>;
}

/// A requirement, with its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct RequirementRequest {
    pub(crate) requirement: Requirement,
    pub(crate) settings: Attributes,
    pub(crate) more: Attributes,
}

/// The state of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequirementState {
    Present,
    Absent,
    Impossible,
}

/// The result of a check.
#[derive(Debug)]
pub(crate) struct CheckedRequirement {
    pub(crate) state: RequirementState,
    pub(crate) more: Attributes,
}

/// The result of fulfilling.
#[derive(Debug)]
pub(crate) struct FulfilledRequirement {
    pub(crate) undo: Attributes,
    pub(crate) more: Attributes,
}

/// The calls of world `scheduler`.
pub(crate) trait SchedulerCalls: Send + Sync {
    /// Starts a job of this number of tasks.
    fn start_job<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        tasks: u32,
        settings: Attributes,
        more: Attributes,
    ) -> Call<'a, Done>;

    /// Gives the scheduler a page of the plan.
    fn add_to_plan<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        nodes: Vec<PlanNode>,
    ) -> Call<'a, Done>;

    /// Reports tasks that ended.
    fn tasks_ended<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        ends: Vec<TaskEnd>,
    ) -> Call<'a, Done>;

    /// Asks for a decision.
    fn next_tasks<'a>(&'a self, store: &'a mut InstanceStore, turn: Turn) -> Call<'a, Choice>;
}

/// One task of the plan.
#[derive(Debug)]
pub(crate) struct PlanNode {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) needs: Vec<u32>,
    pub(crate) after: Vec<u32>,
    pub(crate) more: Attributes,
}

/// A task that ended.
#[derive(Debug)]
pub(crate) struct TaskEnd {
    pub(crate) task: u32,
    pub(crate) status: Status,
    pub(crate) more: Attributes,
}

/// A moment at which tasks could start.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) ready: Vec<u32>,
    pub(crate) slots: u32,
    pub(crate) more: Attributes,
}

/// A decision of a scheduler.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) start: Vec<TaskStart>,
    pub(crate) cancel: Vec<u32>,
    pub(crate) more: Attributes,
}

/// A task that starts.
#[derive(Debug)]
pub(crate) struct TaskStart {
    pub(crate) task: u32,
    pub(crate) more: Attributes,
}

/// The calls of world `result-format`.
pub(crate) trait ResultFormatCalls: Send + Sync {
    /// Starts a report.
    fn start_report<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        settings: Attributes,
    ) -> Call<'a, Done>;

    /// Gives the format a page of events.
    fn handle<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        events: Vec<JournalEvent>,
    ) -> Call<'a, Done>;

    /// Completes the report. `complete` is whether the job came to its end.
    fn finish_report<'a>(&'a self, store: &'a mut InstanceStore, complete: bool) -> Call<'a, Done>;
}

/// One line of the journal.
#[derive(Debug)]
pub(crate) struct JournalEvent {
    pub(crate) kind: String,
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) time: u64,
    pub(crate) task: Option<String>,
    pub(crate) data: Attributes,
}
