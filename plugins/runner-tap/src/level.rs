//! Owns one nesting level of a stream, which is the outer document or a subtest: its plan, its
//! points, and whether it is malformed. Does not know about lines, indentation, or its depth.

use crate::line::{Directive, Plan, Point};
use crate::text::shorten;

/// Limit of failed points that a reason names.
const MAX_NAMED_POINTS: usize = 5;
/// Limit of a description in a reason, in characters.
const DESCRIPTION_LIMIT: usize = 100;
/// Limit of the failure of a subtest in a reason, in characters.
const FAILURE_LIMIT: usize = 300;

/// Counts and texts of a level. Their size does not grow with the stream.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// Name from `# Subtest: name`.
    name: Option<String>,
    /// Whether `pragma +strict` is on.
    pub(crate) strict: bool,
    /// Number of points so far, whatever their results.
    pub(crate) points: u64,
    pub(crate) passed: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: PointGroup,
    /// Points marked TODO that passed.
    pub(crate) unexpected: PointGroup,
    /// First reason of a skip.
    pub(crate) skip_reason: Option<String>,
    /// Whether a point has passed on this level, or in a subtest that no point reports.
    pub(crate) any_passed: bool,
    /// Whether a point was skipped or a plan is `1..0`, on this level or in a subtest that no point
    /// reports.
    pub(crate) any_skipped: bool,
    /// Why the level is malformed: the first reason found.
    pub(crate) problem: Option<String>,
    plan: Option<SeenPlan>,
    numbers: Numbers,
}

/// Check that N points have the numbers 1 to N in any order, in constant memory.
#[derive(Debug, Default)]
struct Numbers {
    /// Whether a point had no number. Its position is counted instead, which may be the explicit
    /// number of another point.
    incomplete: bool,
    /// The highest number, and its line.
    highest: (u64, u64),
    /// Fingerprint of the numbers seen, to compare with `expected`, the fingerprint of 1 to N. They
    /// are equal where each number occurred once.
    seen: u64,
    expected: u64,
}

impl Numbers {
    fn add(&mut self, position: u64, number: Option<u64>, line_number: u64) {
        self.expected = self.expected.wrapping_add(mix(position));
        self.seen = self.seen.wrapping_add(mix(number.unwrap_or(position)));
        self.incomplete |= number.is_none();
        if let Some(number) = number
            && number > self.highest.0
        {
            self.highest = (number, line_number);
        }
    }

    /// Returns what is wrong with the numbers, where there are as many points as planned.
    fn problem(&self, planned: u64) -> Option<String> {
        let (number, line) = self.highest;
        if number > planned {
            return Some(format!(
                "test number {number} is beyond the plan 1..{planned} (line {line})"
            ));
        }
        (!self.incomplete && self.seen != self.expected).then(|| {
            format!("a test number from 1 to {planned} is missing, and another occurs twice")
        })
    }
}

/// Hashes a number, so that sums of different sets of numbers differ (finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[derive(Debug)]
struct SeenPlan {
    count: u64,
    late: bool,
}

/// A group of points: their number, and the labels of the first few.
#[derive(Debug, Default)]
pub(crate) struct PointGroup {
    pub(crate) total: u64,
    first: Vec<NamedPoint>,
}

#[derive(Debug)]
struct NamedPoint {
    label: String,
    detail: Option<String>,
}

/// Result of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointResult {
    Passed,
    /// Passed, although it is marked TODO.
    UnexpectedlyPassed,
    Skipped,
    Failed,
}

impl PointGroup {
    pub(crate) fn add(&mut self, label: String, detail: Option<String>) {
        self.total += 1;
        if self.first.len() < MAX_NAMED_POINTS {
            self.first.push(NamedPoint { label, detail });
        }
    }

    fn merge(&mut self, other: Self) {
        self.total += other.total;
        let room = MAX_NAMED_POINTS.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Adds a detail to the last point of the group, if its label is kept and it has no detail.
    pub(crate) fn explain_last(&mut self, detail: String) {
        if self.total == self.first.len() as u64
            && let Some(entry) = self.first.last_mut()
        {
            entry.detail.get_or_insert(detail);
        }
    }

    /// Returns the label of the first point.
    pub(crate) fn first_label(&self) -> Option<&str> {
        self.first.first().map(|entry| entry.label.as_str())
    }

    /// Lists the points: `2 - broken thing (its message), 4 and 3 more`.
    pub(crate) fn list(&self) -> String {
        let mut list = String::new();
        for entry in &self.first {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(&entry.label);
            if let Some(detail) = &entry.detail {
                list.push_str(&format!(" ({detail})"));
            }
        }
        let unnamed = self.total.saturating_sub(self.first.len() as u64);
        if unnamed > 0 {
            list.push_str(&format!(" and {unnamed} more"));
        }
        list
    }
}

impl Level {
    pub(crate) fn new(name: Option<String>, strict: bool) -> Self {
        Self {
            name,
            strict,
            ..Self::default()
        }
    }

    /// The name from `# Subtest: name`.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Adds a test point, and the subtest that the point reports.
    ///
    /// A point that passes although its subtest failed counts as failed: otherwise a mistake of the
    /// test's author would hide the failure. A point marked TODO excuses its subtest as well.
    ///
    /// With `any_order`, the points' numbers may come in any order, as in TAP 14.
    pub(crate) fn add_point(
        &mut self,
        point: &Point,
        line_number: u64,
        subtest: Option<Level>,
        any_order: bool,
    ) -> PointResult {
        let nested = subtest.as_ref().and_then(Level::failure);
        let nested = nested.map(|failure| shorten(&failure, FAILURE_LIMIT));
        if let Some(subtest) = subtest {
            self.unexpected.merge(subtest.unexpected);
        }
        if self.plan.as_ref().is_some_and(|plan| plan.late) {
            self.set_problem(|| format!("unexpected test after late plan (line {line_number})"));
        }
        self.points += 1;
        let expected = self.points;
        let number = point.number.unwrap_or(expected);
        self.numbers.add(expected, point.number, line_number);
        if number != expected && (!any_order || number == 0) {
            self.set_problem(|| {
                format!(
                    "out of order test numbers (line {line_number}: found {number}, \
                     expected {expected})"
                )
            });
        }
        let label = || {
            if point.description.is_empty() {
                number.to_string()
            } else {
                format!(
                    "{number} - {}",
                    shorten(&point.description, DESCRIPTION_LIMIT)
                )
            }
        };
        match (point.directive, point.ok && nested.is_none()) {
            (Some(Directive::Todo), good) => {
                if good {
                    self.unexpected.add(label(), None);
                }
                self.passed += 1;
                self.any_passed = true;
                match good {
                    true => PointResult::UnexpectedlyPassed,
                    false => PointResult::Passed,
                }
            }
            (_, false) => {
                let reason = Some(point.reason.as_str()).filter(|reason| !reason.is_empty());
                let detail =
                    nested.or_else(|| reason.map(|reason| shorten(reason, DESCRIPTION_LIMIT)));
                self.failed.add(label(), detail);
                PointResult::Failed
            }
            (Some(Directive::Skip), true) => {
                self.keep_skip_reason(&point.reason);
                self.skipped += 1;
                self.any_skipped = true;
                PointResult::Skipped
            }
            (None, true) => {
                self.passed += 1;
                self.any_passed = true;
                PointResult::Passed
            }
        }
    }

    /// Sets the plan.
    pub(crate) fn set_plan(&mut self, plan: &Plan, line_number: u64) {
        if self.plan.is_some() {
            self.set_problem(|| format!("more than one plan found (line {line_number})"));
            return;
        }
        match plan.directive {
            Some(Directive::Skip) if plan.count > 0 => {
                self.set_problem(|| {
                    format!("invalid SKIP directive for plan (line {line_number})")
                });
            }
            Some(Directive::Todo) => {
                self.set_problem(|| format!("invalid directive for plan (line {line_number})"));
            }
            _ => {}
        }
        if plan.count == 0 {
            self.any_skipped = true;
            self.keep_skip_reason(&plan.reason);
        }
        self.plan = Some(SeenPlan {
            count: plan.count,
            late: self.points > 0,
        });
    }

    /// Marks the level as malformed; the first reason is kept.
    pub(crate) fn set_problem(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    /// Adds the results of a subtest that no point of this level reports.
    pub(crate) fn adopt(&mut self, subtest: Level) {
        if let Some(failure) = subtest.failure() {
            let label = match &subtest.name {
                Some(name) => format!("subtest {}", shorten(name, DESCRIPTION_LIMIT)),
                None => "a subtest without a test point".to_owned(),
            };
            self.failed
                .add(label, Some(shorten(&failure, FAILURE_LIMIT)));
        }
        self.unexpected.merge(subtest.unexpected);
        self.any_passed |= subtest.any_passed;
        self.any_skipped |= subtest.any_skipped;
        self.skip_reason = self.skip_reason.take().or(subtest.skip_reason);
    }

    /// Compares the points with the plan. Called once, at the end of the level.
    pub(crate) fn check_plan(&mut self, needs_plan: bool) {
        let run = self.points;
        if self.plan.is_none() && needs_plan && !self.is_empty() {
            self.set_problem(|| "no plan found".to_owned());
        }
        let planned = self.plan.as_ref().map_or(run, |plan| plan.count);
        if run < planned {
            self.set_problem(|| format!("Too few tests run (expected {planned}, got {run})"));
        } else if run > planned {
            self.set_problem(|| format!("Too many tests run (expected {planned}, got {run})"));
        } else if let Some(problem) = self.numbers.problem(planned) {
            self.set_problem(|| problem);
        }
    }

    /// Whether the level has neither points, nor results of subtests, nor a plan `1..0`.
    fn is_empty(&self) -> bool {
        self.points == 0 && self.failed.total == 0 && !self.any_passed && !self.any_skipped
    }

    /// Returns why the level failed or is malformed, or `None` where it is neither.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.failed.total == 0 {
            return self.problem.clone();
        }
        let total = self.points.max(self.failed.total);
        let mut text = format!(
            "{} of {total} failed: {}",
            self.failed.total,
            self.failed.list()
        );
        if let Some(problem) = &self.problem {
            text.push_str(&format!("; {problem}"));
        }
        Some(text)
    }

    fn keep_skip_reason(&mut self, reason: &str) {
        if self.skip_reason.is_none() && !reason.is_empty() {
            self.skip_reason = Some(shorten(reason, 2 * DESCRIPTION_LIMIT));
        }
    }
}
