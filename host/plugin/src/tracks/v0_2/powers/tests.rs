//! The powers that each role may use: every function of every power, called in every role.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use wasmtime::Store;
use wasmtime::component::Resource;

use super::process::bindings::persea::plugin::process as process_types;
use super::*;
use crate::contract::convert::error;
use crate::contract::world::World;
use crate::instance::context::PluginContext;
use crate::instance::grants::Grants;
use crate::instance::memory::JobMemory;
use crate::powers::artifacts::JobFiles;
use crate::powers::batch::{BatchHost, BatchPower, NextBatchTask};
use crate::powers::cache::CachePower;
use crate::powers::fetch::FetchPower;
use crate::powers::monotonic_clock::CallClock;
use crate::powers::report_output::{ReportPower, ReportTarget};
use crate::powers::task::{TaskFuture, TaskHost};
use crate::powers::testing::{FakeTask, instance_of};
use crate::powers::workspace::{WHOLE_PROJECT, Workspace, views};
use crate::tracks::v0_2::bindings::types::Error;
use persea_config::{Config, UserDirs};
use persea_download::Downloads;
use persea_model::{Outcome, Runnable, Variation};

/// A batch whose tasks are all done.
struct FakeBatch(Arc<FakeTask>);

impl BatchHost for FakeBatch {
    fn task(self: Arc<Self>) -> Arc<dyn TaskHost> {
        Arc::clone(&self.0) as Arc<dyn TaskHost>
    }

    fn next(&self) -> NextBatchTask<'_> {
        Box::pin(async { None })
    }

    fn finish(&self, _: Result<Outcome, crate::error::PluginError>) -> TaskFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Makes an instance of a role that has what every power acts on, so that nothing but the role can
/// be the reason of a refusal.
fn instance_with_everything(world: World, directory: &Path) -> Store<InstanceState> {
    let task = Arc::new(FakeTask::default());
    let mut store = instance_of(world, &task);
    let state = store.data_mut();
    state.begin_pages::<Runnable>();
    state.begin_pages::<Variation>();
    state.give(BatchPower::new(Arc::new(FakeBatch(task)), "job"));
    state.give(CachePower::new(directory.join("cache")));
    state.give(CallClock::start(None));
    let project = Dir::open_ambient_dir(directory, cap_std::ambient_authority()).unwrap();
    let views = views(&project, &[WHOLE_PROJECT.to_owned()]).into();
    state.give(Workspace::new(views, directory.into()));
    let config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    let downloads = Downloads::new(&config, None, directory);
    state.give(FetchPower::new(Arc::new(downloads)));
    let report = ReportTarget::File(tempfile::tempfile().unwrap());
    state.give(ReportPower::new("report", report, 1));
    if world == World::ResultFormat {
        state.give(JobFiles::new(directory.to_path_buf()));
    }
    store
}

fn command() -> process_types::Command {
    use process_types::{Command, Input, Output};
    Command {
        program: "true".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        clear_env: false,
        cwd: None,
        stdin: Input::Empty,
        stdout: Output::Discard,
        stderr: Output::Discard,
        report: Output::Discard,
        more: Vec::new(),
    }
}

/// The answer of a function, without what it returns.
fn answer<T>(answered: wasmtime::Result<Result<T, Error>>) -> Result<(), Error> {
    answered.unwrap().map(|_| ())
}

/// Calls each function of a power that needs no handle, and returns the answers. A clock refuses
/// nobody: it stands still.
async fn call_all(power: &Power, state: &mut InstanceState) -> Vec<Result<(), Error>> {
    match power.name {
        // Every role has it, and it answers nothing.
        "log" => Vec::new(),
        "process" => {
            use super::process::bindings::persea::plugin::process::Host as _;
            vec![
                answer(state.run(command()).await),
                answer(state.start(command()).await),
            ]
        }
        "messages" => {
            use super::messages::bindings::persea::plugin::messages::Host as _;
            vec![
                answer(state.progress("x".to_owned())),
                answer(state.whiteboard("x".to_owned())),
            ]
        }
        "artifacts" => {
            use super::artifacts::bindings::persea::plugin::artifacts::Host as _;
            let is_format = state.context.world == Some(World::ResultFormat);
            let task = || is_format.then(|| "1-x".to_owned());
            let mut answers = vec![
                answer(state.read(task(), "x".to_owned(), 0, 1).await),
                answer(state.size(task(), "x".to_owned()).await),
            ];
            // A format only reads, and has no task.
            if !is_format {
                answers.push(answer(state.write("x".to_owned(), vec![1]).await));
            }
            answers
        }
        "artifact-list" => {
            use super::artifact_list::bindings::persea::plugin::artifact_list::Host as _;
            let is_format = state.context.world == Some(World::ResultFormat);
            let task = is_format.then(|| "1-x".to_owned());
            vec![answer(state.list_artifacts(task, None).await)]
        }
        "cases" => {
            use super::cases::bindings::persea::plugin::cases::Host as _;
            vec![
                answer(state.start(vec!["x".to_owned()])),
                answer(state.finish(Vec::new())),
            ]
        }
        "poll" => {
            use super::poll::bindings::persea::plugin::poll::{Host as _, Interest};
            let mut answers = vec![answer(state.poll(Vec::new(), Some(1)).await)];
            // The refusal comes before the handle is looked up, and an invented handle is a trap.
            if state.permit(power).is_err() {
                let child = Resource::new_borrow(4711);
                answers.push(answer(state.watch(child, Interest::Ended).await));
            }
            answers
        }
        "monotonic-clock" => {
            use super::monotonic_clock::bindings::persea::plugin::monotonic_clock::Host as _;
            std::thread::sleep(Duration::from_millis(1));
            match state.now().unwrap() {
                0 => vec![Err(
                    error("not-permitted", "the role does not offer it").into()
                )],
                _ => vec![Ok(())],
            }
        }
        "pages" => {
            use super::pages::bindings::persea::plugin::pages::Host as _;
            vec![
                answer(state.add_runnables(Vec::new())),
                answer(state.add_variations(Vec::new())),
            ]
        }
        "batch" => {
            use super::batch::bindings::persea::plugin::batch::Host as _;
            let outcome = types::Outcome {
                status: types::Status::Pass,
                reason: None,
                more: Vec::new(),
            };
            vec![
                answer(state.take_task().await),
                answer(state.finish_task(outcome).await),
                answer(state.fail_task(error("failed", "x").into()).await),
            ]
        }
        "workspace" => {
            use super::workspace::bindings::persea::plugin::workspace::Host as _;
            vec![
                answer(state.stat("file".to_owned())),
                answer(state.list_directory(".".to_owned())),
                answer(state.read("file".to_owned(), 0, 1)),
            ]
        }
        "fetch" => {
            use super::fetch::bindings::persea::plugin::fetch::{Host as _, Source};
            let source = Source {
                locations: Vec::new(),
                checksum: None,
                more: Vec::new(),
            };
            vec![answer(state.fetch(source).await)]
        }
        "cache" => {
            use super::cache::bindings::persea::plugin::cache::Host as _;
            vec![
                answer(state.put("x".to_owned(), vec![1])),
                answer(state.get("x".to_owned())),
            ]
        }
        "report-output" => {
            use super::report_output::bindings::persea::plugin::report_output::Host as _;
            vec![answer(state.open_report())]
        }
        other => panic!("no functions of `{other}` are called here"),
    }
}

#[tokio::test]
async fn power_is_refused_in_each_role_that_does_not_offer_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "x").unwrap();
    let mut refused = 0;
    for power in powers::ALL {
        for world in World::ALL {
            let mut store = instance_with_everything(world, directory.path());
            let is_offered = power.worlds.contains(&world);
            for answer in call_all(power, store.data_mut()).await {
                let is_refusal = |error: &Error| {
                    error.code == "not-permitted" && error.message.ends_with("does not offer it")
                };
                assert_eq!(
                    answer.as_ref().is_err_and(is_refusal),
                    !is_offered,
                    "`{}` in the role `{}`: {answer:?}",
                    power.name,
                    world.name()
                );
                refused += u32::from(!is_offered);
            }
        }
    }
    assert!(refused > 90, "{refused} calls");
}

#[tokio::test]
async fn plugin_that_describes_itself_has_no_power() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = instance_with_everything(World::Runner, directory.path());
    let limits = (*store.data().context.limits).clone();
    let config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    let memory = Arc::new(JobMemory::new(&config));
    let label = "x.wasm".to_owned();
    let context = PluginContext::new(label, None, Grants::default(), limits, memory);
    store.data_mut().context = Arc::new(context);
    for power in powers::ALL {
        for answer in call_all(power, store.data_mut()).await {
            let code = answer.unwrap_err().code;
            assert_eq!(code, "not-permitted", "`{}`", power.name);
        }
    }
}

#[test]
fn each_power_is_linked() {
    for power in powers::ALL {
        let mut linked = LINKED.iter();
        assert!(linked.any(|(it, _)| *it == power), "{}", power.name);
    }
}
