//! Owns the interpretation of a whole TAP stream, line by line: versions, YAML blocks, pragmas, the
//! nesting of subtests, and the verdict. `line` parses a single line, `level` counts the points of
//! one nesting level. Does not know about processes or files.
//!
//! A stream passes where it passes with `prove` (`tests/prove.rs` compares both). With
//! `needs_plan: false`, a stream passes where it passes with Avocado's parser
//! (`avocado/core/tapparser.py` and `plugins/runners/tap.py` of 113.0). `tests/decisions.rs` lists
//! every decision of Avocado, and every deviation with its reason.

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::Status;
use std::collections::VecDeque;

use crate::cases::CaseList;
use crate::level::{Level, PointResult};
use crate::line::{self, Line};
use crate::text::shorten;
use crate::verdict::Verdict;
use crate::yaml::{Block, Step};

/// Limit of the nesting of subtests; lines that are nested deeper are ignored.
const MAX_DEPTH: usize = 32;
/// Limit of a reason or a name, in characters.
const TEXT_LIMIT: usize = 200;

/// State of a stream that is being read.
#[derive(Debug)]
pub(crate) struct Document {
    /// Whether a document without a plan is malformed.
    needs_plan: bool,
    outer: Level,
    /// Open subtests, the outermost first. The subtest at index N is indented by N + 1 levels.
    subtests: Vec<Level>,
    version: u64,
    /// Depth of the test point on the previous line, and whether that point failed. A YAML block
    /// may follow only such a line.
    last_point: Option<(usize, bool)>,
    /// The open YAML block, with the depth of its test point and whether that point failed.
    block: Option<(Block, usize, bool)>,
    /// Names for the next subtests, with the depths of their comments, which increase. Writers put
    /// the comment on the level of the subtest or on that above.
    next_names: VecDeque<(usize, String)>,
    cause: Option<Cause>,
    /// Reason of `Bail out!`.
    bail_out: Option<String>,
    /// The test points as cases; none where nobody asked for them.
    cases: Option<CaseList>,
}

/// What decides the result of a stream that does not pass: the one that occurs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    FailedPoint,
    Malformed,
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
            next_names: VecDeque::new(),
            cause: None,
            bail_out: None,
            cases: None,
        }
    }

    /// Collects the test points from now on as cases.
    pub(crate) fn collect_cases(&mut self) {
        self.cases.get_or_insert_default();
    }

    /// Removes and returns the cases so far. A test point whose YAML block may follow is not among
    /// them.
    pub(crate) fn take_cases(&mut self) -> Vec<Case> {
        self.cases.as_mut().map(CaseList::take).unwrap_or_default()
    }

    /// Reads the next line, which has no white space at its end. Lines are numbered from 1.
    pub(crate) fn add_line(&mut self, number: u64, text: &str) {
        if self.bail_out.is_some() || self.continue_block(text) {
            return;
        }
        if let Some((depth, failed)) = self.last_point
            && let Some(block) = Block::begin(text, depth, number)
        {
            self.block = Some((block, depth, failed));
            self.last_point = None;
            return;
        }
        if let Some(cases) = &mut self.cases {
            cases.settle();
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
                    self.next_names.retain(|(of, _)| *of < depth);
                    let name = shorten(name.trim(), TEXT_LIMIT);
                    self.next_names.push_back((depth, name));
                }
                return;
            }
            Line::Version(version) => self.set_version(version, number, depth),
            Line::Plan(plan) => {
                self.level(depth).set_plan(&plan, number);
            }
            Line::Point(point) => {
                let subtest = self.close_subtest_of_point(depth);
                let any_order = self.version >= 14;
                let nested = match self.cases.is_some() {
                    true => subtest.as_ref().and_then(Level::failure),
                    false => None,
                };
                let level = self.level(depth);
                let result = level.add_point(&point, number, subtest, any_order);
                let position = level.points;
                // A comment whose subtest has no lines must not name a later one.
                self.next_names.clear();
                let failed = result == PointResult::Failed;
                self.update_cause();
                if let Some(cases) = &mut self.cases {
                    let above = self.subtests.iter().take(depth).map(Level::name);
                    cases.add(above, &point, position, result, nested);
                }
                self.last_point = Some((depth, failed));
                return;
            }
            Line::BailOut(reason) => {
                self.bail_out = Some(shorten(&reason, TEXT_LIMIT));
                self.cause.get_or_insert(Cause::BailOut);
            }
            Line::Pragma { strict } => {
                if let Some(strict) = strict {
                    self.level(depth).strict = strict;
                }
            }
            Line::Other => self.reject_if_strict(number, rest, depth),
        }
        self.last_point = None;
        self.update_cause();
    }

    /// Ends the stream and returns the verdict, and the cases that were not taken yet.
    pub(crate) fn finish(mut self) -> (Verdict, Vec<Case>) {
        if let Some((block, depth, _)) = self.block.take() {
            self.report_broken_block(&block, depth);
        }
        // A stream that bails out may leave subtests open and the plan unfulfilled.
        if self.bail_out.is_none() {
            self.close_subtests(0);
            self.update_cause();
            self.outer.check_plan(self.needs_plan);
            self.update_cause();
        }
        if let Some(cases) = &mut self.cases {
            cases.settle();
        }
        let cases = self.take_cases();
        (self.verdict(), cases)
    }

    fn verdict(self) -> Verdict {
        let outer = &self.outer;
        let (status, reason) = match self.cause {
            Some(Cause::FailedPoint) => {
                let mut reason = outer.failure().unwrap_or_default();
                if let Some(bail_out) = &self.bail_out {
                    reason.push_str(&format!("; Bail out! {bail_out}"));
                }
                (Status::Fail, Some(reason.trim_end().to_owned()))
            }
            Some(Cause::Malformed) => {
                let problem = outer.problem.as_deref().unwrap_or_default();
                (Status::Error, Some(format!("Tap format error: {problem}")))
            }
            Some(Cause::BailOut) => {
                let reason = format!("Bail out! {}", self.bail_out.as_deref().unwrap_or_default());
                (Status::Error, Some(reason.trim_end().to_owned()))
            }
            None => self.without_cause(),
        };
        Verdict {
            status,
            reason,
            passed: outer.passed,
            failed: outer.failed.total,
            skipped: outer.skipped,
            truncated_line: None,
        }
    }

    /// Status and reason of a stream that neither failed nor was malformed.
    fn without_cause(&self) -> (Status, Option<String>) {
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

    /// Passes a line to the open YAML block. Returns whether the line belongs to a block.
    fn continue_block(&mut self, text: &str) -> bool {
        let Some((mut block, depth, failed)) = self.block.take() else {
            return false;
        };
        match block.step(text) {
            Step::Inside => {
                self.block = Some((block, depth, failed));
                true
            }
            Step::Ended => {
                if let Some(cases) = &mut self.cases {
                    cases.explain(&block, failed);
                }
                if failed && let Some(summary) = block.summary() {
                    self.level(depth).failed.explain_last(summary);
                }
                true
            }
            Step::Broken => {
                self.report_broken_block(&block, depth);
                self.update_cause();
                false
            }
        }
    }

    /// Reports a block without an end. Before TAP 13 there are no YAML blocks, and lines that look
    /// like one are ignored.
    fn report_broken_block(&mut self, block: &Block, depth: usize) {
        if self.version >= 13 {
            let line = block.line_number;
            self.level(depth)
                .set_problem(|| format!("YAML block not terminated (started on line {line})"));
        }
    }

    /// Sets the version of the stream. A version inside a subtest is ignored.
    fn set_version(&mut self, version: u64, number: u64, depth: usize) {
        if depth > 0 {
            return;
        }
        if number != 1 {
            self.outer.set_problem(|| {
                format!("version number must be on the first line (found on line {number})")
            });
        } else if version < 13 {
            self.outer
                .set_problem(|| format!("version number should be at least 13 (found {version})"));
        } else {
            self.version = version;
        }
    }

    /// Reports a line that is not TAP where `pragma +strict` is on.
    fn reject_if_strict(&mut self, number: u64, rest: &str, depth: usize) {
        let open = depth.min(self.subtests.len());
        let level = self.level(open);
        if level.strict {
            level.set_problem(|| {
                format!(
                    "line {number} is not TAP, but pragma +strict is on: {}",
                    shorten(rest, 60)
                )
            });
        }
    }

    /// Returns the level at a depth, and opens the levels that are not open yet.
    fn level(&mut self, depth: usize) -> &mut Level {
        while self.subtests.len() < depth {
            let strict = self.subtests.last().unwrap_or(&self.outer).strict;
            let name = self.next_names.pop_front().map(|(_, name)| name);
            self.subtests.push(Level::new(name, strict));
        }
        match depth
            .checked_sub(1)
            .and_then(|index| self.subtests.get_mut(index))
        {
            Some(level) => level,
            None => &mut self.outer,
        }
    }

    /// Closes the subtests below a depth that no test point reports. Their results go to the level
    /// above.
    fn close_subtests(&mut self, depth: usize) {
        while self.subtests.len() > depth
            && let Some(mut subtest) = self.subtests.pop()
        {
            subtest.check_plan(self.subtests_need_plan());
            let above = self.subtests.len();
            self.level(above).adopt(subtest);
        }
    }

    /// Closes and returns the subtest that a test point at a depth reports, if there is one.
    fn close_subtest_of_point(&mut self, depth: usize) -> Option<Level> {
        self.close_subtests(depth + 1);
        if self.subtests.len() <= depth {
            return None;
        }
        let mut subtest = self.subtests.pop()?;
        subtest.check_plan(self.subtests_need_plan());
        Some(subtest)
    }

    /// Whether a subtest without a plan is malformed. Before TAP 14 there are no subtests, and
    /// indented lines may be anything.
    fn subtests_need_plan(&self) -> bool {
        self.needs_plan && self.version >= 14
    }

    /// Sets the cause where the line just read has one and no line before it had.
    fn update_cause(&mut self) {
        if self.cause.is_some() {
            return;
        }
        // A malformed point that also failed counts as malformed.
        if self.outer.problem.is_some() {
            self.cause = Some(Cause::Malformed);
        } else if self.outer.failed.total > 0 {
            self.cause = Some(Cause::FailedPoint);
        }
    }
}
