//! Owns a scheduler; the README of the corpus says what it does.
use common::description;
use persea_plugin_sdk::prelude::*;

/// The tasks of the plan that are to be cancelled, and the number of all tasks.
struct Corpus {
    cancel: Vec<u32>,
    tasks: u32,
}

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::scheduler())
    }
}

impl Scheduler for Corpus {
    fn start_job(_: &ScheduledJob) -> Result<Self, Error> {
        Ok(Self {
            cancel: Vec::new(),
            tasks: 0,
        })
    }

    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
        for node in nodes {
            if node.name.contains("unwanted") {
                self.cancel.push(self.tasks);
            }
            self.tasks += 1;
        }
        Ok(())
    }

    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error> {
        let cancel = std::mem::take(&mut self.cancel);
        let last = turn.ready.iter().rev().find(|task| !cancel.contains(task));
        let mut choice = Choice::wait();
        choice.start.extend(last.map(|task| TaskStart::new(*task)));
        choice.cancel = cancel;
        Ok(choice)
    }
}

export!(Corpus: scheduler);
