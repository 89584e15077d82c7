//! Processes that wait for their turn: each is a task of its own, started when nothing is left of the one before, without
//! asking the host in between. It must not know how a process is started or ended.
//!
//! Quick tasks follow each other without a way to the host and back. Behind a slow one nobody is kept waiting: they are
//! given back, and the host finds another place for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use persea_helper::protocol::{Exit, GIVE_BACK_AFTER, Id, Line, Reply, Stage, Start, StartFailure};

use super::Server;

/// With so many waiting, the next ones need not be known at once.
const ENOUGH: usize = 8;

#[derive(Default)]
pub(super) struct Turns {
    waiting: VecDeque<(Id, Start)>,
    /// Whose turn it is, and since when.
    turn: Option<(Id, Instant)>,
    /// Some were given back, so those behind them are too.
    broken: bool,
    /// All are to stand still, so none is started.
    standing: bool,
}

impl Turns {
    pub(super) fn stand_still(&mut self, standing: bool) {
        self.standing = standing;
    }

    pub(super) fn over(&mut self) {
        self.turn = None;
    }

    /// Whether one runs, and enough wait behind it.
    pub(super) fn are_enough(&self) -> bool {
        self.turn.is_some() && self.waiting.len() >= ENOUGH
    }

    /// After which time those that wait are given back, although nothing happens.
    pub(super) fn give_back_in(&self) -> Option<Duration> {
        let (_, since) = self.turn.filter(|_| !self.waiting.is_empty())?;
        Some(GIVE_BACK_AFTER.saturating_sub(since.elapsed()))
    }
}

impl Server {
    pub(super) fn line_up(&mut self, id: Id, start: Start, line: Line) {
        self.turns.broken &= line == Line::Behind;
        if self.turns.broken {
            self.not_now(id);
        } else {
            self.turns.waiting.push_back((id, start));
        }
    }

    /// Starts what is next, or gives back what would wait for too long.
    pub(super) fn take_turns(&mut self) {
        while self.turns.turn.is_none()
            && !self.turns.standing
            && self.children.values().all(|child| !child.running)
        {
            let Some((id, start)) = self.turns.waiting.pop_front() else {
                return;
            };
            if self.start(id, &start) {
                self.turns.turn = Some((id, Instant::now()));
            }
        }
        if self.turns.give_back_in().is_some_and(|left| left.is_zero()) {
            self.turns.broken = true;
            for (id, _) in std::mem::take(&mut self.turns.waiting) {
                self.not_now(id);
            }
        }
    }

    /// Whether a request that is for one child alone means all that runs here. Gives the child back if it still waits.
    pub(super) fn is_for_all(&mut self, child: Option<Id>) -> bool {
        let Some(child) = child else { return true };
        !self.give_back(child) && self.turns.turn.is_some_and(|(turn, _)| turn == child)
    }

    /// Gives a child back if it waits for its turn. Whether it did.
    pub(super) fn give_back(&mut self, child: Id) -> bool {
        let found = self.turns.waiting.iter().position(|(id, _)| *id == child);
        let Some((id, _)) = found.and_then(|at| self.turns.waiting.remove(at)) else {
            return false;
        };
        self.not_now(id);
        true
    }

    fn not_now(&mut self, id: Id) {
        self.reply(&Reply::StartFailed {
            id,
            failure: StartFailure {
                stage: Stage::NotNow,
                errno: 0,
                message: "its turn has not come".to_owned(),
            },
        });
    }

    /// What is left of a process that had its turn is ended with it.
    pub(super) fn end_turn(&mut self, id: Id, mut exit: Exit) -> Exit {
        if self.turns.turn.is_none_or(|(turn, _)| turn != id) {
            return exit;
        }
        if !exit.clean {
            let (left, cleared) = self.clear();
            exit.left = left;
            exit.clean = cleared.is_ok();
        }
        if exit.clean {
            self.turns.over();
        }
        // Otherwise it keeps the turn: nothing can be started here any more, and the host will be told why by `EndTask`.
        exit
    }
}
