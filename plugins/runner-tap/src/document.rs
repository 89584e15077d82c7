//! A whole TAP stream, line by line: versions, YAML blocks, pragmas, and the nesting of subtests. It decides how the
//! test ended; `level` counts, `line` reads. It knows nothing of processes or files.
//!
//! Which streams pass is decided as `prove` does (`tests/prove.rs` compares both); without the need of a plan, as Avocado's
//! parser does (`avocado/core/tapparser.py` and `plugins/runners/tap.py` of 113.0). `tests/decisions.rs` lists every
//! decision of Avocado and every deviation with its reason.

use persea_plugin_sdk::prelude::Status;

use crate::level::{Level, Result};
use crate::line::{self, Line};
use crate::text::shorten;
use crate::verdict::Verdict;
use crate::yaml::{Block, Step};

/// Subtests that are nested deeper are not read.
const MAX_DEPTH: usize = 32;
/// How many characters of a reason or a name are kept.
const TEXT_LIMIT: usize = 200;

/// A stream that is being read.
#[derive(Debug)]
pub(crate) struct Document {
    /// A document without a plan is of wrong form.
    needs_plan: bool,
    outer: Level,
    /// Open subtests, the outermost first. The one at index N is indented by N + 1 levels.
    subtests: Vec<Level>,
    version: u64,
    /// The depth of the test point that a YAML block may follow now, and whether that point failed.
    last_point: Option<(usize, bool)>,
    block: Option<(Block, usize, bool)>,
    /// The name that the next subtest gets.
    next_name: Option<String>,
    decided: Option<Decided>,
    /// The reason given with `Bail out!`.
    bail_out: Option<String>,
}

/// What came first of that which makes the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decided {
    Failure,
    Problem,
    BailOut,
}

impl Document {
    pub(crate) fn new(needs_plan: bool) -> Self {
        Self {
            needs_plan,
            outer: Level::default(),
            subtests: Vec::new(),
            version: 12,
            last_point: None,
            block: None,
            next_name: None,
            decided: None,
            bail_out: None,
        }
    }

    /// Takes the next line, without white space at its end. Lines count from 1.
    pub(crate) fn line(&mut self, number: u64, text: &str) {
        if self.bail_out.is_some() || self.in_block(text) {
            return;
        }
        if let Some((depth, failed)) = self.last_point
            && let Some(block) = Block::begin(text, depth, number)
        {
            self.block = Some((block, depth, failed));
            self.last_point = None;
            return;
        }
        let (depth, rest) = line::indentation(text);
        let line = if depth > MAX_DEPTH {
            Line::Other
        } else {
            line::parse(rest, self.version)
        };
        match line {
            Line::Blank => return,
            Line::Comment(comment) => {
                if let Some(name) = comment.strip_prefix("Subtest:") {
                    self.next_name = Some(shorten(name.trim(), TEXT_LIMIT));
                }
                return;
            }
            Line::Version(version) => self.version(version, number, depth),
            Line::Plan(plan) => {
                self.level(depth).plan(&plan, number);
            }
            Line::Point(point) => {
                let subtest = self.end_subtest_of_point(depth);
                let any_order = self.version >= 14;
                let level = self.level(depth);
                let result = level.point(&point, number, subtest, any_order);
                let failed = result == Result::Failed;
                self.decide();
                self.last_point = Some((depth, failed));
                return;
            }
            Line::BailOut(reason) => {
                self.bail_out = Some(shorten(&reason, TEXT_LIMIT));
                self.decided.get_or_insert(Decided::BailOut);
            }
            Line::Pragma { strict } => {
                if let Some(strict) = strict {
                    self.level(depth).strict = strict;
                }
            }
            Line::Other => self.no_tap(number, rest, depth),
        }
        self.last_point = None;
        self.decide();
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> Verdict {
        if let Some((block, depth, _)) = self.block.take() {
            self.broken_block(&block, depth);
        }
        // Who bails out has no need to end what is open or to keep to the plan.
        if self.bail_out.is_none() {
            self.end_subtests(0);
            self.decide();
            self.outer.check_plan(self.needs_plan);
            self.decide();
        }
        self.verdict()
    }

    fn verdict(self) -> Verdict {
        let outer = &self.outer;
        let (status, reason) = match self.decided {
            Some(Decided::Failure) => {
                let mut reason = outer.trouble().unwrap_or_default();
                if let Some(bail_out) = &self.bail_out {
                    reason.push_str(&format!("; Bail out! {bail_out}"));
                }
                (Status::Fail, Some(reason.trim_end().to_owned()))
            }
            Some(Decided::Problem) => {
                let problem = outer.problem.as_deref().unwrap_or_default();
                (Status::Error, Some(format!("Tap format error: {problem}")))
            }
            Some(Decided::BailOut) => {
                let reason = format!("Bail out! {}", self.bail_out.as_deref().unwrap_or_default());
                (Status::Error, Some(reason.trim_end().to_owned()))
            }
            None => self.without_trouble(),
        };
        Verdict {
            status,
            reason,
            passed: outer.passed,
            failed: outer.failed.total,
            skipped: outer.skipped,
            cut_line: None,
        }
    }

    fn without_trouble(&self) -> (Status, Option<String>) {
        let outer = &self.outer;
        let unexpected = &outer.unexpected;
        match unexpected.total {
            0 => {}
            1 => {
                let label = unexpected.first_label().unwrap_or_default();
                return (
                    Status::Warn,
                    Some(format!("TODO test {label} unexpectedly passed.")),
                );
            }
            total => {
                let list = unexpected.list();
                return (
                    Status::Warn,
                    Some(format!("{total} TODO tests unexpectedly passed: {list}")),
                );
            }
        }
        if outer.any_passed {
            return (Status::Pass, None);
        }
        if outer.any_skipped {
            let reason = outer
                .skip_reason
                .clone()
                .unwrap_or_else(|| "the test gave no reason".to_owned());
            return (Status::Skip, Some(reason));
        }
        (Status::Error, Some(Verdict::NO_TAP.to_owned()))
    }

    /// Gives the line to the open YAML block; whether that has taken it.
    fn in_block(&mut self, text: &str) -> bool {
        let Some((mut block, depth, failed)) = self.block.take() else {
            return false;
        };
        match block.step(text) {
            Step::Inside => {
                self.block = Some((block, depth, failed));
                true
            }
            Step::Ended => {
                if failed && let Some(summary) = block.summary() {
                    self.level(depth).failed.explain_last(summary);
                }
                true
            }
            Step::Broken => {
                self.broken_block(&block, depth);
                self.decide();
                false
            }
        }
    }

    /// Before TAP 13 there are no YAML blocks: what looks like one may be anything.
    fn broken_block(&mut self, block: &Block, depth: usize) {
        if self.version >= 13 {
            let line = block.line_number;
            self.level(depth)
                .problem(|| format!("YAML block not terminated (started on line {line})"));
        }
    }

    /// A subtest may name its version; it is that of the whole stream.
    fn version(&mut self, version: u64, number: u64, depth: usize) {
        if depth > 0 {
            return;
        }
        if number != 1 {
            self.outer.problem(|| {
                format!("version number must be on the first line (found on line {number})")
            });
        } else if version < 13 {
            self.outer
                .problem(|| format!("version number should be at least 13 (found {version})"));
        } else {
            self.version = version;
        }
    }

    fn no_tap(&mut self, number: u64, rest: &str, depth: usize) {
        let open = depth.min(self.subtests.len());
        let level = self.level(open);
        if level.strict {
            level.problem(|| {
                format!(
                    "line {number} is no TAP, and pragma +strict is on: {}",
                    shorten(rest, 60)
                )
            });
        }
    }

    /// The level of a depth, opened where it isn't yet.
    fn level(&mut self, depth: usize) -> &mut Level {
        while self.subtests.len() < depth {
            let strict = self.subtests.last().unwrap_or(&self.outer).strict;
            self.subtests
                .push(Level::new(self.next_name.take(), strict));
        }
        match depth
            .checked_sub(1)
            .and_then(|index| self.subtests.get_mut(index))
        {
            Some(level) => level,
            None => &mut self.outer,
        }
    }

    /// Ends the subtests below a depth that no test point has ended: what they found goes to the level above.
    fn end_subtests(&mut self, depth: usize) {
        while self.subtests.len() > depth
            && let Some(mut subtest) = self.subtests.pop()
        {
            subtest.check_plan(self.subtests_need_plan());
            let above = self.subtests.len();
            self.level(above).adopt(subtest);
        }
    }

    /// Ends the subtest that a test point of a depth stands for, if there is one.
    fn end_subtest_of_point(&mut self, depth: usize) -> Option<Level> {
        self.end_subtests(depth + 1);
        if self.subtests.len() <= depth {
            return None;
        }
        let mut subtest = self.subtests.pop()?;
        subtest.check_plan(self.subtests_need_plan());
        Some(subtest)
    }

    /// Before TAP 14 there are no subtests: what is indented may be anything.
    fn subtests_need_plan(&self) -> bool {
        self.needs_plan && self.version >= 14
    }

    /// Notes what comes first of a failure and a wrong form.
    fn decide(&mut self) {
        if self.decided.is_some() {
            return;
        }
        // A point of wrong form is that before it is a failure.
        if self.outer.problem.is_some() {
            self.decided = Some(Decided::Problem);
        } else if self.outer.failed.total > 0 {
            self.decided = Some(Decided::Failure);
        }
    }
}
