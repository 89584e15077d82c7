//! Owns a job from its references to its reports, a room for each part of it: input, plan, results,
//! execute, listing, undo, dispatch, run. Does not know the command line, nor how plugins and
//! processes are run.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod dispatch;
mod execute;
mod input;
mod listing;
mod plan;
mod results;
mod run;
mod undo;

pub use dispatch::beginning::CommandPlugins;
pub use dispatch::error::JobError;
pub use execute::control::Signals;
pub use input::hint::HintError;
pub use input::job_file::{JobFile, JobFileError};
pub use input::kind_rules::{KindRules, KindRulesError};
pub use input::own_spawner::SpawnerChoice;
pub use input::resolve::{
    Answer, Resolutions, Resolved, TestLister, TypedBy, resolve, spawners_of,
};
pub use input::schema::{job_file_schema, recipe_schema};
pub use input::variants::VariantsError;
pub use input::walk::references_of;
pub use listing::{ListingPlace, OpenPlace, OpenedPlace, TestListing};
pub use plan::again::FailedTests;
pub use plan::export::GraphExport;
pub use plan::graph::GraphError;
pub use plan::partition::Partition;
pub use plan::records::ChangedPlugin;
pub use plan::selection::{Selection, filter_answers};
pub use plan::stored::{ResumeError, StoredJob};
pub use results::directory::{DirectoryError, JobDirectory, default_results, find, results_root};
pub use results::report::{
    ReportDestination, ReportError, ReportOrder, make as make_report, orders,
};
pub use run::instances::{instances, parallel};
pub use run::prepare::load_requirement_resolvers;
pub use run::{Job, ResumedJob, Summary};
pub use undo::release::begin;
pub use undo::release::{
    JobRelease, ReleaseResult, UnreleasedRequirement, places_of, project_of, unreleased_of,
};
pub use undo::unreleased::UnreleasedJobs;
