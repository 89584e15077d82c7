//! The adapter for world `program-runner`: an instance says which program a task is, and afterwards, it or another one, what its end means.
//! In between there is none. Owns the instances that wait for the next question.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::Store;

use crate::PluginError;
use crate::contract::bindings::program_runner::exports::persea::plugin::run_program::{
    Command, Exit,
};
use crate::contract::bindings::{program_runner, types};
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{answered, explain};
use crate::powers::log::Log;
use crate::powers::process::run_to_end;
use crate::powers::task::{TaskHost, TaskPower};
use crate::worlds::plugin::Plugin;
use persea_model::Outcome;

/// How many commands a runner may name for one task.
const COMMANDS: usize = 16;

/// How many questions one instance is asked: what it never gives back of its memory doesn't add up, and to make the next one costs little
/// beside so many.
const QUESTIONS: u32 = 128;

/// How many instances wait for the next question at most. Most questions are answered before another one is asked.
const WAITING: usize = 4;

/// A linked component, and those of its instances that nobody asks now.
pub(crate) struct Programs {
    pub(crate) pre: program_runner::ProgramRunnerPre<State>,
    waiting: Mutex<Vec<Instance>>,
}

struct Instance {
    store: Store<State>,
    runner: program_runner::ProgramRunner,
    questions_left: u32,
}

impl Programs {
    pub(crate) fn new(pre: program_runner::ProgramRunnerPre<State>) -> Self {
        Self {
            pre,
            waiting: Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance to be asked about a task: one that waits, with time, log and messages anew, or a fresh one.
    async fn take(
        &self,
        catalog: &Catalog,
        terms: &Arc<Terms>,
        host: &Arc<dyn TaskHost>,
    ) -> Result<Instance, PluginError> {
        terms.check()?;
        let waiting = self.waiting().pop();
        let target = Arc::clone(host);
        let target = Box::new(move |level, message: &str| target.log(level, message));
        let log = Log::new(target, &terms.limits);
        if let Some(mut instance) = waiting {
            instance.store.set_epoch_deadline(1);
            let state = instance.store.data_mut();
            state.log = log;
            state.usage.refill(terms.limits.ticks());
            return Ok(instance);
        }
        let mut store = State::store(catalog.engine(), terms, log);
        // Apart, as it's seldom done and takes more room than all the rest.
        let made = Box::pin(within(terms, self.pre.instantiate_async(&mut store))).await?;
        let runner = made.map_err(|error| explain(terms, &mut store, &error))?;
        Ok(Instance {
            store,
            runner,
            questions_left: QUESTIONS,
        })
    }

    /// What an instance has answered, after which it waits for the next question, if it can.
    fn answered<T>(
        &self,
        terms: &Terms,
        mut instance: Instance,
        answer: wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T, PluginError> {
        let lives = answer.is_ok();
        let answer = answered(terms, &mut instance.store, answer);
        instance.questions_left -= 1;
        if lives && instance.questions_left > 0 {
            let state = instance.store.data_mut();
            state.task = None;
            state.log = Log::new(Box::new(|_, _| {}), &terms.limits);
            let mut waiting = self.waiting();
            if waiting.len() < WAITING {
                waiting.push(instance);
            }
        }
        answer
    }
}

impl Catalog {
    /// As [`Catalog::run`], for a runner whose tasks are one program each.
    pub(crate) async fn run_program(
        &self,
        plugin: &Plugin,
        programs: &Programs,
        task: &types::Task,
        host: &Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        let terms = &plugin.terms;
        let commands = {
            let mut asked = programs.take(self, terms, host).await?;
            let calls = asked.runner.persea_plugin_run_program();
            let call = calls.call_commands(&mut asked.store, task);
            let answer = within(terms, call).await?;
            programs.answered(terms, asked, answer)?
        };
        let end = run_first(terms, &**host, commands).await?;
        let mut asked = programs.take(self, terms, host).await?;
        let mut power = TaskPower::new(Arc::clone(host), &terms.limits);
        power.may_start = false;
        asked.store.data_mut().task = Some(power);
        let calls = asked.runner.persea_plugin_run_program();
        let call = calls.call_judge(&mut asked.store, task, end.as_ref());
        let answer = within(terms, call).await?;
        let outcome = programs.answered(terms, asked, answer)?;
        terms.fitting(convert::outcome(outcome, &mut terms.room()))
    }
}

/// Runs the first command whose program is there to its end; the error is that of the last one.
async fn run_first(
    terms: &Terms,
    host: &dyn TaskHost,
    commands: Vec<Command>,
) -> Result<Result<Exit, types::Error>, PluginError> {
    let wrong = |count: usize| PluginError::Answer {
        plugin: terms.label.clone(),
        code: "invalid".to_owned(),
        message: format!(
            "it has named {count} commands for this task, and can name 1 to {COMMANDS}"
        ),
    };
    let count = commands.len();
    if count > COMMANDS {
        return Err(wrong(count));
    }
    let mut last = None;
    for command in commands {
        let end = run_to_end(terms, host, command).await;
        let is_there = !end.as_ref().is_err_and(|error| error.code == "not-found");
        last = Some(end);
        if is_there {
            break;
        }
    }
    last.ok_or_else(|| wrong(count))
}
