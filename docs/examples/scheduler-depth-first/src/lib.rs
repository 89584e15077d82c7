//! A scheduler that walks the graph of tasks depth first: tasks that wait for the task that has
//! just ended start before all others. With the setting `scheduler.depth-first.drop-broken` it
//! drops the rest of a branch in which a task has failed.
use persea_plugin_sdk::prelude::*;

const DROP_BROKEN: &str = "scheduler.depth-first.drop-broken";

#[derive(Default)]
struct DepthFirst {
    /// For each task, the tasks that wait for it.
    waiting: Vec<Vec<u32>>,
    /// For each task, the first task of its branch.
    branch: Vec<usize>,
    /// Tasks that waited for a task that has ended, the latest last.
    path: Vec<u32>,
    drop_broken: bool,
    to_drop: Vec<u32>,
}

impl Scheduler for DepthFirst {
    fn describe() -> Description {
        Description::new(
            "depth-first",
            "starts what waits for the task that has just ended",
        )
        .settings([DROP_BROKEN])
    }

    fn begin(&mut self, nodes: Vec<Node>, settings: &Attributes) -> Result<(), Error> {
        self.drop_broken = settings.boolean(DROP_BROKEN).unwrap_or(false);
        self.waiting = vec![Vec::new(); nodes.len()];
        self.branch = (0..nodes.len()).collect();
        for (task, node) in (0_u32..).zip(&nodes) {
            for other in node.needs.iter().chain(&node.after) {
                if let Some(waiting) = self.waiting.get_mut(*other as usize) {
                    waiting.push(task);
                }
            }
        }
        for root in 0..nodes.len() {
            if nodes[root].needs.is_empty() && nodes[root].after.is_empty() {
                self.mark(root);
            }
        }
        Ok(())
    }

    fn ended(&mut self, task: u32, status: Status) -> Result<(), Error> {
        let task = task as usize;
        // `next` pops from the end, so the plan's first task goes last.
        let next = self.waiting.get(task).into_iter().flatten().rev();
        self.path.extend(next);
        let is_broken = matches!(status, Status::Fail | Status::Error | Status::Interrupted);
        if self.drop_broken && is_broken {
            let broken = self.branch.get(task).copied();
            let all = (0_u32..).zip(&self.branch);
            let rest = all.filter(|(_, branch)| Some(**branch) == broken);
            self.to_drop.extend(rest.map(|(task, _)| task));
        }
        Ok(())
    }

    fn next(&mut self, ready: &[u32]) -> Result<Choice, Error> {
        let drop = std::mem::take(&mut self.to_drop);
        if drop.iter().any(|task| ready.contains(task)) {
            return Ok(Choice::Drop(drop));
        }
        while let Some(task) = self.path.pop() {
            if ready.contains(&task) {
                return Ok(Choice::Start(task));
            }
        }
        Ok(ready
            .first()
            .map_or(Choice::Wait, |first| Choice::Start(*first)))
    }
}

impl DepthFirst {
    /// Puts every task that waits for `root`, directly or not, into the branch of `root`.
    fn mark(&mut self, root: usize) {
        let mut left = vec![root];
        let mut seen = vec![false; self.branch.len()];
        while let Some(task) = left.pop() {
            if !std::mem::replace(&mut seen[task], true) {
                self.branch[task] = root;
                left.extend(self.waiting[task].iter().map(|task| *task as usize));
            }
        }
    }
}

export!(scheduler: DepthFirst);
