//! One TAP document of a stream, the outer one or that of a subtest: its plan, its points, and what is wrong with it.
//! It knows nothing of lines or indentation, nor which level it is.

use crate::line::{Directive, Plan, Point};
use crate::text::shorten;

/// How many failing points are named.
const NAMED: usize = 5;
/// How many characters of a description are shown.
const DESCRIPTION_LIMIT: usize = 100;
/// How many characters of what is wrong with a subtest are kept.
const TROUBLE_LIMIT: usize = 300;

/// What is counted and kept of a document. Its size does not grow with the stream.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// The name that `# Subtest: name` gave it.
    name: Option<String>,
    /// `pragma +strict` is on.
    pub(crate) strict: bool,
    /// Points so far, of any result.
    pub(crate) points: u64,
    pub(crate) passed: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: Named,
    /// Points marked TODO that passed.
    pub(crate) unexpected: Named,
    /// The first reason given for a skip.
    pub(crate) skip_reason: Option<String>,
    /// A point has passed, here or in a subtest that no point stands for.
    pub(crate) any_passed: bool,
    /// A point was skipped, or the plan says that nothing is to be run; likewise.
    pub(crate) any_skipped: bool,
    /// The first thing that is wrong with the document's form.
    pub(crate) problem: Option<String>,
    plan: Option<SeenPlan>,
    numbers: Numbers,
}

/// The numbers of the points, in whatever order they come. Its size does not grow with them.
#[derive(Debug, Default)]
struct Numbers {
    /// A point had no number: it got that of its place, which another may have by right.
    incomplete: bool,
    /// The highest one, and its line.
    highest: (u64, u64),
    /// Fingerprints of the numbers seen and of 1 to N for N points: equal where each came once.
    seen: u64,
    expected: u64,
}

impl Numbers {
    fn add(&mut self, place: u64, number: Option<u64>, line_number: u64) {
        self.expected = self.expected.wrapping_add(mix(place));
        self.seen = self.seen.wrapping_add(mix(number.unwrap_or(place)));
        self.incomplete |= number.is_none();
        if let Some(number) = number
            && number > self.highest.0
        {
            self.highest = (number, line_number);
        }
    }

    /// What is wrong with the numbers of as many points as planned.
    fn problem(&self, planned: u64) -> Option<String> {
        let (number, line) = self.highest;
        if number > planned {
            return Some(format!(
                "test number {number} is beyond the plan 1..{planned} (line {line})"
            ));
        }
        (!self.incomplete && self.seen != self.expected).then(|| {
            format!("a test number from 1 to {planned} is missing, and another comes twice")
        })
    }
}

/// Spreads numbers, so that sums of different ones differ (the finalizer of SplitMix64).
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

/// Points that have something in common: how many, and the first few by name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) total: u64,
    first: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    label: String,
    detail: Option<String>,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    Passed,
    Skipped,
    Failed,
}

impl Named {
    pub(crate) fn add(&mut self, label: String, detail: Option<String>) {
        self.total += 1;
        if self.first.len() < NAMED {
            self.first.push(Entry { label, detail });
        }
    }

    fn merge(&mut self, other: Self) {
        self.total += other.total;
        let room = NAMED.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Adds to what is known of the last one, if it is named and has nothing yet.
    pub(crate) fn explain_last(&mut self, detail: String) {
        if self.total == self.first.len() as u64
            && let Some(entry) = self.first.last_mut()
        {
            entry.detail.get_or_insert(detail);
        }
    }

    /// The name of the first one.
    pub(crate) fn first_label(&self) -> Option<&str> {
        self.first.first().map(|entry| entry.label.as_str())
    }

    /// `2 - broken thing (its message), 4 and 3 more`
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

    /// Takes a test point, and the subtest that it stands for.
    ///
    /// A point that passes although its subtest has not is a failure: somebody's mistake would hide it otherwise. One that
    /// is marked TODO excuses its subtest as well.
    ///
    /// With `any_order` the points' numbers may come in any order, as TAP 14 has it.
    pub(crate) fn point(
        &mut self,
        point: &Point,
        line_number: u64,
        subtest: Option<Level>,
        any_order: bool,
    ) -> Result {
        let nested = subtest.as_ref().and_then(Level::trouble);
        let nested = nested.map(|trouble| shorten(&trouble, TROUBLE_LIMIT));
        if let Some(subtest) = subtest {
            self.unexpected.merge(subtest.unexpected);
        }
        if self.plan.as_ref().is_some_and(|plan| plan.late) {
            self.problem(|| format!("unexpected test after late plan (line {line_number})"));
        }
        self.points += 1;
        let expected = self.points;
        let number = point.number.unwrap_or(expected);
        self.numbers.add(expected, point.number, line_number);
        if number != expected && (!any_order || number == 0) {
            self.problem(|| {
                format!("out of order test numbers (line {line_number}: found {number}, expected {expected})")
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
                Result::Passed
            }
            (_, false) => {
                let reason = Some(point.reason.as_str()).filter(|reason| !reason.is_empty());
                let detail =
                    nested.or_else(|| reason.map(|reason| shorten(reason, DESCRIPTION_LIMIT)));
                self.failed.add(label(), detail);
                Result::Failed
            }
            (Some(Directive::Skip), true) => {
                self.keep_skip_reason(&point.reason);
                self.skipped += 1;
                self.any_skipped = true;
                Result::Skipped
            }
            (None, true) => {
                self.passed += 1;
                self.any_passed = true;
                Result::Passed
            }
        }
    }

    pub(crate) fn plan(&mut self, plan: &Plan, line_number: u64) {
        if self.plan.is_some() {
            self.problem(|| format!("more than one plan found (line {line_number})"));
            return;
        }
        match plan.directive {
            Some(Directive::Skip) if plan.count > 0 => {
                self.problem(|| format!("invalid SKIP directive for plan (line {line_number})"));
            }
            Some(Directive::Todo) => {
                self.problem(|| format!("invalid directive for plan (line {line_number})"));
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

    /// Notes what is wrong with the form; the first one counts.
    pub(crate) fn problem(&mut self, problem: impl FnOnce() -> String) {
        self.problem.get_or_insert_with(problem);
    }

    /// Takes what a subtest found that no point of this level stands for.
    pub(crate) fn adopt(&mut self, subtest: Level) {
        if let Some(trouble) = subtest.trouble() {
            let label = match &subtest.name {
                Some(name) => format!("subtest {}", shorten(name, DESCRIPTION_LIMIT)),
                None => "a subtest without a test point of its own".to_owned(),
            };
            self.failed
                .add(label, Some(shorten(&trouble, TROUBLE_LIMIT)));
        }
        self.unexpected.merge(subtest.unexpected);
        self.any_passed |= subtest.any_passed;
        self.any_skipped |= subtest.any_skipped;
        self.skip_reason = self.skip_reason.take().or(subtest.skip_reason);
    }

    /// Compares the points with the plan. To be called once, at the document's end.
    pub(crate) fn check_plan(&mut self, needs_plan: bool) {
        let run = self.points;
        if self.plan.is_none() && needs_plan && !self.is_empty() {
            self.problem(|| "no plan found".to_owned());
        }
        let planned = self.plan.as_ref().map_or(run, |plan| plan.count);
        if run < planned {
            self.problem(|| format!("Too few tests run (expected {planned}, got {run})"));
        } else if run > planned {
            self.problem(|| format!("Too many tests run (expected {planned}, got {run})"));
        } else if let Some(problem) = self.numbers.problem(planned) {
            self.problem(|| problem);
        }
    }

    /// Nothing in it is TAP that counts.
    fn is_empty(&self) -> bool {
        self.points == 0 && self.failed.total == 0 && !self.any_passed && !self.any_skipped
    }

    /// What is wrong with the document, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
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
