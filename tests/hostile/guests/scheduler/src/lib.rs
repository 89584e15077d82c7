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
}

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
            }),
        }
    }

    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
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

export!(Hostile: scheduler);
