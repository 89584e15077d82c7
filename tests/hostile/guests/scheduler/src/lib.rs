//! Owns a scheduler that fails in the way that a setting names, at its second call, or that shows
//! what it knows.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;

const HOW: Setting<Text> = Setting::text("scheduler.hostile.how")
    .default("")
    .summary("How it fails");

struct Hostile {
    how: String,
    asked: u32,
    started: Vec<u32>,
    /// The further data of all tasks, as far as it does not come from earlier jobs.
    nodes: Vec<String>,
    /// The number of tasks in each page of the plan.
    pages: Vec<usize>,
    /// The number of tasks that were chosen, where all are chosen in the order of the plan.
    chosen: u32,
}

/// The most ready tasks that the contract has in a turn.
const READY: u32 = 4096;

/// Writes the named values of open data.
fn shown(more: &Attributes, names: &[&str]) -> String {
    let all = names.iter().filter_map(|name| {
        let value = more.json(name).or(more.text(name))?;
        Some(format!("{name}={value}"))
    });
    all.collect::<Vec<String>>().join(" ")
}

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "fails in every way that a scheduler can")
            .role(Role::scheduler())
            .setting(&HOW)
    }
}

impl Scheduler for Hostile {
    fn start_job(job: &ScheduledJob) -> Result<Self, Error> {
        let how = HOW.get(&job.settings).to_owned();
        match how.as_str() {
            "refuses" => Err(Error::new("invalid", "not with me")),
            "never-begins" => loop {
                black_box(&how);
            },
            _ => Ok(Self {
                how,
                asked: 0,
                started: Vec::new(),
                nodes: Vec::new(),
                pages: Vec::new(),
                chosen: 0,
            }),
        }
    }

    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
        self.pages.push(nodes.len());
        let names = ["resources", "mutexes", "requirements"];
        let nodes = nodes.iter().map(|node| shown(&node.more, &names));
        self.nodes.extend(nodes);
        Ok(())
    }

    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error> {
        let ready = turn.ready.as_slice();
        self.asked += 1;
        if self.how == "once" {
            // A task that was chosen once must not be offered again.
            let again = ready.iter().find(|task| self.started.contains(task));
            return match (again, ready.first()) {
                (Some(task), _) => {
                    let message = format!("{task} was to start before");
                    Err(Error::new("invalid", message))
                }
                (None, Some(first)) => {
                    self.started.push(*first);
                    Ok(Choice::wait().start(*first))
                }
                (None, None) => Ok(Choice::wait()),
            };
        }
        if self.how == "counts" {
            return self.count(turn);
        }
        if self.how == "last" {
            return Ok(ready
                .last()
                .map_or(Choice::wait(), |last| Choice::wait().start(*last)));
        }
        if let Some(boards) = self.how.strip_prefix("boards ") {
            // Every ready task gets these boards.
            let start = ready.iter().take(turn.slots as usize);
            let start = start.map(|task| {
                let boards = boards.split(',');
                TaskStart::new(*task).instances("board", boards)
            });
            return Ok(start.fold(Choice::wait(), Choice::start));
        }
        if self.how == "shows" {
            let turn = shown(&turn.more, &["free", "held"]);
            let message = format!("{}; {turn}", self.nodes.join("; "));
            return Err(Error::new("shown", message));
        }
        if self.asked == 1 {
            return Ok(Choice::wait().start(ready[0]));
        }
        match self.how.as_str() {
            "panics" => panic!("no idea"),
            "loops" => loop {
                black_box(&self.how);
            },
            "errs" => Err(Error::new("io", "out of order")),
            "lies" => Ok(Choice::wait().start(4711)),
            "drops-nothing" => Ok(Choice::wait().cancel(4711)),
            _ => Ok(Choice::wait()),
        }
    }
}

impl Hostile {
    /// Starts tasks in the order of the plan, and shows the pages of the plan before the last task.
    /// Fails at the first turn whose ready tasks are not the next ones.
    fn count(&mut self, turn: &Turn) -> Result<Choice, Error> {
        let total = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let next = self.chosen..total.min(self.chosen + READY);
        if !turn.ready.iter().copied().eq(next.clone()) {
            let ready = (turn.ready.first(), turn.ready.len());
            let message = format!("{ready:?} are ready in place of {next:?}");
            return Err(Error::new("wrong", message));
        }
        let start = turn.ready.iter().take(turn.slots as usize);
        let start = start.filter(|task| **task + 1 < total);
        let start: Vec<u32> = start.copied().collect();
        if start.is_empty() {
            let message = format!("pages of {:?}, {} chosen", self.pages, self.chosen);
            return Err(Error::new("counted", message));
        }
        self.chosen += start.len() as u32;
        Ok(start.into_iter().fold(Choice::wait(), Choice::start))
    }
}

export!(Hostile: scheduler);
