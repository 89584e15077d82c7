//! The adapter for world `program-runner`: one call names the program of a task, and another one,
//! of this or another instance, judges its end. No instance is in use while the program runs.

use std::sync::Arc;

use crate::contract::convert;
use crate::contract::data::{Command, Task};
use crate::contract::limits::PROGRAM_COMMANDS;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::answered_error;
use crate::powers::process::{check_program, run_to_end};
use crate::powers::task::{Starting, TaskHost, TaskPower};
use crate::tracks::calls::{Component, ProgramEnd, ProgramRunnerCalls};
use crate::worlds::plugin::Plugin;
use persea_model::Outcome;

impl Plugin {
    /// Runs a task of a program runner, as [`Plugin::run`].
    pub(super) async fn run_program(
        &self,
        component: &Component<dyn ProgramRunnerCalls>,
        task: Task,
        host: &Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        let (runtime, context) = (&self.runtime, &self.context);
        let instances = &self.program_instances;
        let commands = {
            let mut instance = instances.take(component, runtime, context, host).await?;
            let call = instance.runner.commands(&mut instance.store, task.clone());
            let called = call_in_time(context, call).await?;
            instances.put_back(context, instance, called)?
        };
        let end = run_first(context, &**host, commands).await?;
        let mut instance = instances.take(component, runtime, context, host).await?;
        let power = TaskPower::new(Arc::clone(host), &context.limits, Starting::ProgramHasRun);
        instance.store.data_mut().give(power);
        let call = instance.runner.judge(&mut instance.store, task, end);
        let called = call_in_time(context, call).await?;
        let outcome = instances.put_back(context, instance, called)?;
        context.within_budget(convert::outcome(outcome, &mut context.answer_budget()))
    }
}

/// Runs the first command whose program exists. If none does, the error is that of the last
/// command.
async fn run_first(
    context: &PluginContext,
    host: &dyn TaskHost,
    commands: Vec<Command>,
) -> Result<ProgramEnd, PluginError> {
    let refuse = |count: usize| PluginError::Answer {
        plugin: context.label.clone(),
        code: "invalid".to_owned(),
        message: format!(
            "it has named {count} commands for this task, and can name 1 to {PROGRAM_COMMANDS}"
        ),
        is_infrastructure: false,
    };
    let count = commands.len();
    if count > PROGRAM_COMMANDS.most {
        return Err(refuse(count));
    }
    for command in &commands {
        check_program(command).map_err(|error| answered_error(&context.label, error))?;
    }
    let mut last = None;
    for command in commands {
        match run_to_end(context, host, command).await {
            Ok(exit) => return Ok(ProgramEnd::Exited(exit)),
            Err(error) => {
                let is_missing = error.code == "not-found";
                last = Some(error);
                if !is_missing {
                    break;
                }
            }
        }
    }
    last.map(ProgramEnd::NotStarted)
        .ok_or_else(|| refuse(count))
}
