//! A scheduler that walks the graph of tasks depth first: tasks that wait for the task that has
//! just ended start before all others. With the setting `scheduler.depth-first.drop-broken` it
//! drops the rest of a branch in which a task has failed.
use persea_plugin_sdk::prelude::*;

const DROP_BROKEN: Setting<Boolean> = Setting::boolean("scheduler.depth-first.drop-broken")
    .default(false)
    .summary("Whether the rest of a branch is cancelled once a task of it has failed");

struct DepthFirst {
    /// For each task, the tasks that wait for it.
    waiting: Vec<Vec<u32>>,
    /// For each task, the first task of its branch.
    branch: Vec<usize>,
    /// Tasks that waited for a task that has ended, the latest last.
    path: Vec<u32>,
    /// The tasks that wait for no other, and how many tasks of the plan are known.
    roots: Vec<usize>,
    known: u32,
    drop_broken: bool,
    to_cancel: Vec<u32>,
}

impl Plugin for DepthFirst {
    fn describe() -> Description {
        Description::new(
            "depth-first",
            "starts what waits for the task that has just ended",
        )
        .role(Role::scheduler())
        .setting(&DROP_BROKEN)
    }
}

impl Scheduler for DepthFirst {
    fn start_job(job: &ScheduledJob) -> Result<Self, Error> {
        let tasks = job.tasks as usize;
        Ok(Self {
            waiting: vec![Vec::new(); tasks],
            branch: (0..tasks).collect(),
            path: Vec::new(),
            roots: Vec::new(),
            known: 0,
            drop_broken: DROP_BROKEN.get(&job.settings),
            to_cancel: Vec::new(),
        })
    }

    fn add_to_plan(&mut self, nodes: Vec<Node>) -> Result<(), Error> {
        for node in nodes {
            let task = self.known;
            self.known += 1;
            if node.needs.is_empty() && node.after.is_empty() {
                self.roots.push(task as usize);
            }
            for other in node.needs.iter().chain(&node.after) {
                if let Some(waiting) = self.waiting.get_mut(*other as usize) {
                    waiting.push(task);
                }
            }
        }
        // The last page completes the graph.
        if self.known as usize == self.waiting.len() {
            self.mark_branches();
        }
        Ok(())
    }

    fn tasks_ended(&mut self, ends: &[TaskEnd]) -> Result<(), Error> {
        for end in ends {
            let task = end.task as usize;
            // `next_tasks` pops from the end, so the plan's first task goes last.
            let next = self.waiting.get(task).into_iter().flatten().rev();
            self.path.extend(next);
            let is_broken = matches!(
                end.status,
                Status::Fail | Status::Error | Status::Interrupted
            );
            if self.drop_broken && is_broken {
                let broken = self.branch.get(task).copied();
                let all = (0_u32..).zip(&self.branch);
                let rest = all.filter(|(_, branch)| Some(**branch) == broken);
                self.to_cancel.extend(rest.map(|(task, _)| task));
            }
        }
        Ok(())
    }

    fn next_tasks(&mut self, turn: &Turn) -> Result<Choice, Error> {
        let mut choice = Choice::wait();
        choice.cancel = std::mem::take(&mut self.to_cancel);
        let mut ready = turn.ready.clone();
        ready.retain(|task| !choice.cancel.contains(task));
        for _ in 0..turn.slots {
            let on_path = self.next_on_path(&ready);
            let Some(task) = on_path.or(ready.first().copied()) else {
                break;
            };
            ready.retain(|other| *other != task);
            choice = choice.start(task);
        }
        Ok(choice)
    }
}

impl DepthFirst {
    /// Takes the latest ready task from the path.
    fn next_on_path(&mut self, ready: &[u32]) -> Option<u32> {
        while let Some(task) = self.path.pop() {
            if ready.contains(&task) {
                return Some(task);
            }
        }
        None
    }

    /// Puts every task that waits for a root, directly or not, into the branch of the root.
    fn mark_branches(&mut self) {
        // The last root from which each task was seen.
        let mut seen = vec![usize::MAX; self.branch.len()];
        for root in std::mem::take(&mut self.roots) {
            let mut left = vec![root];
            while let Some(task) = left.pop() {
                if std::mem::replace(&mut seen[task], root) != root {
                    self.branch[task] = root;
                    left.extend(self.waiting[task].iter().map(|task| *task as usize));
                }
            }
        }
    }
}

export!(DepthFirst: scheduler);
