//! Owns the test points of a stream as cases: their paths, statuses and reasons. Does not know
//! about lines, or what the points mean for the verdict.

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::Status;

use crate::level::PointResult;
use crate::line::Point;
use crate::text::shorten;
use crate::yaml::Block;

/// Limit of a name or a reason, in characters.
const TEXT_LIMIT: usize = 200;
/// The contract's limit of a path, in bytes.
const PATH_LIMIT: usize = 4096;

/// Cases in the order of their test points.
#[derive(Debug, Default)]
pub(crate) struct CaseList {
    settled: Vec<Case>,
    /// The case of the last test point, as long as its YAML block may follow.
    pending: Option<Case>,
}

impl CaseList {
    /// Adds a test point. `above` are the names of the subtests that it is in, the outermost first;
    /// `position` counts the points of its level from 1; `nested` is the failure of the subtest
    /// that the point reports.
    pub(crate) fn add<'a>(
        &mut self,
        above: impl Iterator<Item = Option<&'a str>>,
        point: &Point,
        position: u64,
        result: PointResult,
        nested: Option<String>,
    ) {
        self.settle();
        let mut path: Vec<String> = above
            .map(|name| name.unwrap_or("subtest").to_owned())
            .collect();
        path.push(match point.description.is_empty() {
            true => point.number.unwrap_or(position).to_string(),
            false => shorten(&point.description, TEXT_LIMIT),
        });
        limit_path(&mut path);
        let status = match result {
            PointResult::Passed => Status::Pass,
            PointResult::UnexpectedlyPassed => Status::Warn,
            PointResult::Skipped => Status::Skip,
            PointResult::Failed => Status::Fail,
        };
        let mut case = Case::new(path, status);
        let reason = Some(point.reason.clone()).filter(|reason| !reason.is_empty());
        case.reason = match result {
            PointResult::Failed => nested.or(reason),
            PointResult::UnexpectedlyPassed => Some("a TODO test passed".to_owned()),
            PointResult::Passed | PointResult::Skipped => reason,
        };
        case.reason = case.reason.map(|reason| shorten(&reason, TEXT_LIMIT));
        self.pending = Some(case);
    }

    /// Adds what the YAML block of the last test point says.
    pub(crate) fn explain(&mut self, block: &Block, failed: bool) {
        if let Some(case) = &mut self.pending {
            case.duration = block.duration();
            if failed && case.reason.is_none() {
                case.reason = block.summary();
            }
        }
    }

    /// Ends the wait for the YAML block of the last test point.
    pub(crate) fn settle(&mut self) {
        self.settled.extend(self.pending.take());
    }

    /// Removes and returns the settled cases.
    pub(crate) fn take(&mut self) -> Vec<Case> {
        std::mem::take(&mut self.settled)
    }
}

/// Shortens the names of a path that is too long for the contract.
fn limit_path(path: &mut [String]) {
    if path.iter().map(String::len).sum::<usize>() > PATH_LIMIT {
        // A character has at most four bytes, and `shorten` adds one.
        let limit = (PATH_LIMIT / path.len().max(1) / 4).saturating_sub(1);
        for name in path {
            *name = shorten(name, limit);
        }
    }
}
