//! Owns the calls of each world in the track 0.2: it converts what goes in and what comes out. Does
//! not know when a plugin is called.

use super::bindings::types;
use super::convert::{all, attributes, to_attributes, to_status};
use super::exports::batch_runner::BatchRunner;
use super::exports::lister::Lister;
use super::exports::program_runner::ProgramRunner;
use super::exports::program_runner::exports::persea::plugin::run_program;
use super::exports::requirement_resolver::RequirementResolver;
use super::exports::requirement_resolver::exports::persea::plugin::fulfil;
use super::exports::resolver::Resolver;
use super::exports::resolver::exports::persea::plugin::resolve;
use super::exports::result_format::ResultFormat;
use super::exports::result_format::exports::persea::plugin::format;
use super::exports::runner::Runner;
use super::exports::scheduler::Scheduler;
use super::exports::scheduler::exports::persea::plugin::schedule;
use super::exports::varianter::Varianter;
use super::exports::varianter::exports::persea::plugin::vary;
use super::powers::process;
use crate::contract::data::{Attributes, Command, Done, Outcome, Task};
use crate::tracks::calls::{
    BatchRunnerCalls, Call, Called, CheckedRequirement, Choice, Finding, FulfilledRequirement,
    InstanceStore, JournalEvent, ListerCalls, PlanNode, ProgramEnd, ProgramRunnerCalls,
    RequirementRequest, RequirementResolverCalls, RequirementState, Resolution, ResolveRequest,
    ResolverCalls, ResultFormatCalls, RunnerCalls, SchedulerCalls, TaskEnd, TaskStart, TestList,
    Turn, VarianterCalls, VariationList, VaryRequest,
};

/// Converts what a call has returned.
fn called<T, U: From<T>>(called: wasmtime::Result<Result<T, types::Error>>) -> Called<U> {
    Ok(called?.map(U::from).map_err(Into::into))
}

impl ResolverCalls for Resolver {
    fn resolve<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: ResolveRequest,
    ) -> Call<'a, Resolution> {
        Box::pin(async move {
            let request = resolve::Request {
                reference: request.reference,
                settings: to_attributes(request.settings),
                more: Vec::new(),
            };
            let calls = self.persea_plugin_resolve();
            called(calls.call_resolve(store, &request).await)
        })
    }
}

impl From<resolve::Resolution> for Resolution {
    fn from(resolution: resolve::Resolution) -> Self {
        Self {
            finding: match resolution.finding {
                resolve::Finding::Found(runnables) => Finding::Found(all(runnables)),
                resolve::Finding::NotFound(why) => Finding::NotFound(why),
                resolve::Finding::Corrupt(what) => Finding::Corrupt(what),
            },
            more: attributes(resolution.more),
        }
    }
}

impl ListerCalls for Lister {
    fn list_tests<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, TestList> {
        Box::pin(async move {
            let calls = self.persea_plugin_list_tests();
            let listing = calls.call_list_tests(store, &task.into()).await?;
            let listing = listing.map(|listing| TestList {
                tests: all(listing.tests),
                more: attributes(listing.more),
            });
            Ok(listing.map_err(Into::into))
        })
    }
}

impl VarianterCalls for Varianter {
    fn vary<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: VaryRequest,
    ) -> Call<'a, VariationList> {
        Box::pin(async move {
            let request = vary::Request {
                runnable: request.runnable.into(),
                parameters: to_attributes(request.parameters),
                settings: to_attributes(request.settings),
                more: to_attributes(request.more),
            };
            let calls = self.persea_plugin_vary();
            let answer = calls.call_vary(store, &request).await?;
            let answer = answer.map(|answer| VariationList {
                variations: all(answer.variations),
                more: attributes(answer.more),
            });
            Ok(answer.map_err(Into::into))
        })
    }
}

impl RunnerCalls for Runner {
    fn run<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, Outcome> {
        Box::pin(async move {
            let calls = self.persea_plugin_run();
            called(calls.call_run(store, &task.into()).await)
        })
    }
}

impl BatchRunnerCalls for BatchRunner {
    fn run_batch<'a>(&'a self, store: &'a mut InstanceStore, job_id: String) -> Call<'a, Done> {
        use super::exports::batch_runner::exports::persea::plugin::run_batch::Request;
        Box::pin(async move {
            let request = Request {
                job_id,
                more: Vec::new(),
            };
            let calls = self.persea_plugin_run_batch();
            called(calls.call_run_batch(store, &request).await)
        })
    }
}

impl ProgramRunnerCalls for ProgramRunner {
    fn commands<'a>(&'a self, store: &'a mut InstanceStore, task: Task) -> Call<'a, Vec<Command>> {
        Box::pin(async move {
            let calls = self.persea_plugin_run_program();
            let program = calls.call_commands(store, &task.into()).await?;
            let commands = program.map(|program| all(program.commands));
            Ok(commands.map_err(Into::into))
        })
    }

    fn judge<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        task: Task,
        end: ProgramEnd,
    ) -> Call<'a, Outcome> {
        Box::pin(async move {
            let ended = run_program::EndedTask {
                task: task.into(),
                program_end: match end {
                    ProgramEnd::Exited(exit) => {
                        run_program::ProgramEnd::Exited(process::exit(exit))
                    }
                    ProgramEnd::NotStarted(error) => {
                        run_program::ProgramEnd::NotStarted(error.into())
                    }
                },
                more: Vec::new(),
            };
            let calls = self.persea_plugin_run_program();
            called(calls.call_judge(store, &ended).await)
        })
    }
}

impl From<RequirementRequest> for fulfil::Request {
    fn from(request: RequirementRequest) -> Self {
        Self {
            requirement: request.requirement.into(),
            settings: to_attributes(request.settings),
            more: to_attributes(request.more),
        }
    }
}

impl RequirementResolverCalls for RequirementResolver {
    fn check<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
    ) -> Call<'a, CheckedRequirement> {
        Box::pin(async move {
            let calls = self.persea_plugin_fulfil();
            let checked = calls.call_check(store, &request.into()).await?;
            let checked = checked.map(|checked| CheckedRequirement {
                state: match checked.presence {
                    fulfil::Presence::Present => RequirementState::Present,
                    fulfil::Presence::Absent => RequirementState::Absent,
                    fulfil::Presence::Impossible => RequirementState::Impossible,
                },
                more: attributes(checked.more),
            });
            Ok(checked.map_err(Into::into))
        })
    }

    fn fulfil<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
    ) -> Call<'a, FulfilledRequirement> {
        Box::pin(async move {
            let calls = self.persea_plugin_fulfil();
            let fulfilled = calls.call_fulfil(store, &request.into()).await?;
            let fulfilled = fulfilled.map(|fulfilled| FulfilledRequirement {
                undo: attributes(fulfilled.undo),
                more: attributes(fulfilled.more),
            });
            Ok(fulfilled.map_err(Into::into))
        })
    }

    fn release<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        request: RequirementRequest,
        undo: Option<Attributes>,
        more: Attributes,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let request = fulfil::ReleaseRequest {
                request: request.into(),
                undo: undo.map(to_attributes),
                more: to_attributes(more),
            };
            let calls = self.persea_plugin_fulfil();
            called(calls.call_release(store, &request).await)
        })
    }
}

impl From<PlanNode> for schedule::Node {
    fn from(node: PlanNode) -> Self {
        Self {
            id: node.id,
            name: node.name,
            kind: node.kind,
            needs: node.needs,
            after: node.after,
            more: to_attributes(node.more),
        }
    }
}

impl From<TaskEnd> for schedule::TaskEnd {
    fn from(end: TaskEnd) -> Self {
        Self {
            task: end.task,
            status: to_status(end.status),
            more: to_attributes(end.more),
        }
    }
}

impl From<schedule::TaskStart> for TaskStart {
    fn from(start: schedule::TaskStart) -> Self {
        Self {
            task: start.task,
            more: attributes(start.more),
        }
    }
}

impl From<schedule::Choice> for Choice {
    fn from(choice: schedule::Choice) -> Self {
        Self {
            start: all(choice.start),
            cancel: choice.cancel,
            more: attributes(choice.more),
        }
    }
}

impl SchedulerCalls for Scheduler {
    fn start_job<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        tasks: u32,
        settings: Attributes,
        more: Attributes,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let job = schedule::Job {
                tasks,
                settings: to_attributes(settings),
                more: to_attributes(more),
            };
            let calls = self.persea_plugin_schedule();
            called(calls.call_start_job(store, &job).await)
        })
    }

    fn add_to_plan<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        nodes: Vec<PlanNode>,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let page = schedule::PlanPage {
                nodes: all(nodes),
                more: Vec::new(),
            };
            let calls = self.persea_plugin_schedule();
            called(calls.call_add_to_plan(store, &page).await)
        })
    }

    fn tasks_ended<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        ends: Vec<TaskEnd>,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let ends = schedule::TaskEnds {
                ends: all(ends),
                more: Vec::new(),
            };
            let calls = self.persea_plugin_schedule();
            called(calls.call_tasks_ended(store, &ends).await)
        })
    }

    fn next_tasks<'a>(&'a self, store: &'a mut InstanceStore, turn: Turn) -> Call<'a, Choice> {
        Box::pin(async move {
            let turn = schedule::Turn {
                ready: turn.ready,
                slots: turn.slots,
                more: to_attributes(turn.more),
            };
            let calls = self.persea_plugin_schedule();
            called(calls.call_next_tasks(store, &turn).await)
        })
    }
}

impl From<JournalEvent> for format::Event {
    fn from(event: JournalEvent) -> Self {
        Self {
            kind: event.kind,
            time: event.time,
            task: event.task,
            data: to_attributes(event.data),
        }
    }
}

impl ResultFormatCalls for ResultFormat {
    fn start_report<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        settings: Attributes,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let job = format::Job {
                settings: to_attributes(settings),
                more: Vec::new(),
            };
            let calls = self.persea_plugin_format();
            called(calls.call_start_report(store, &job).await)
        })
    }

    fn handle<'a>(
        &'a self,
        store: &'a mut InstanceStore,
        events: Vec<JournalEvent>,
    ) -> Call<'a, Done> {
        Box::pin(async move {
            let page = format::EventPage {
                events: all(events),
                more: Vec::new(),
            };
            let calls = self.persea_plugin_format();
            called(calls.call_handle(store, &page).await)
        })
    }

    fn finish_report<'a>(&'a self, store: &'a mut InstanceStore, complete: bool) -> Call<'a, Done> {
        Box::pin(async move {
            let end = format::JobEnd {
                complete,
                more: Vec::new(),
            };
            let calls = self.persea_plugin_format();
            called(calls.call_finish_report(store, &end).await)
        })
    }
}
