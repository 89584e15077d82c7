//! Owns `persea jobs`: one file for each of its subcommands.

use clap::Subcommand;

use super::{Context, Failure};

mod list;
mod prune;
mod show;

#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// List the jobs in the results directory, the newest first
    List(list::List),
    /// Show what the journal of one job says
    Show(show::Show),
    /// Remove old jobs
    Prune(prune::Prune),
}

impl Jobs {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        match self {
            Self::List(list) => list.run(context),
            Self::Show(show) => show.run(context),
            Self::Prune(prune) => prune.run(context),
        }
    }
}
