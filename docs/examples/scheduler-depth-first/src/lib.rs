//! A scheduler that walks the graph of tasks depth first: what waits for the task that has just ended goes before what waits for
//! others. With the setting `scheduler.depth-first.drop-broken`, a branch in which a task has not passed is not walked on.
use persea_plugin_sdk::prelude::*;

const DROP_BROKEN: &str = "scheduler.depth-first.drop-broken";

#[derive(Default)]
struct DepthFirst {
    /// Of each task: those that wait for it, and the number of its branch, by the task with which that begins.
    waiting: Vec<Vec<u32>>,
    branch: Vec<usize>,
    /// The tasks that were made ready by one that has ended, the latest last.
    path: Vec<u32>,
    drop_broken: bool,
    to_drop: Vec<u32>,
}

impl Scheduler for DepthFirst {
    fn describe() -> Description {
        Description::new("depth-first", "goes on with what waits for the task that has just ended")
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
        // The last one is looked at first, and the plan's first is to be that.
        let next = self.waiting.get(task).into_iter().flatten().rev();
        self.path.extend(next);
        if self.drop_broken && matches!(status, Status::Fail | Status::Error | Status::Interrupted) {
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
        Ok(ready.first().map_or(Choice::Wait, |first| Choice::Start(*first)))
    }
}

impl DepthFirst {
    /// Gives all that can be reached from a task the number of its branch.
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
