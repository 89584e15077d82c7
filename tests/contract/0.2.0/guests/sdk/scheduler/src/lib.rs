//! Owns a scheduler; the README of the corpus says what it does.
use common::{WORD, description};
use persea_plugin_sdk::prelude::*;

/// The tasks of the plan that are to be cancelled, the number of all tasks, and the board that
/// every task gets; none where the setting does not name one.
struct Corpus {
    cancel: Vec<u32>,
    tasks: u32,
    board: Option<String>,
}

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::scheduler())
    }
}

impl Scheduler for Corpus {
    fn start_job(job: &ScheduledJob) -> Result<Self, Error> {
        let board = WORD.get(&job.settings).strip_prefix("board ");
        Ok(Self {
            cancel: Vec::new(),
            tasks: 0,
            board: board.map(str::to_owned),
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
        let start = |task: &u32| match &self.board {
            Some(board) => TaskStart::new(*task).instances("board", [board]),
            None => TaskStart::new(*task),
        };
        choice.start.extend(last.map(start));
        choice.cancel = cancel;
        Ok(choice)
    }
}

export!(Corpus: scheduler);
