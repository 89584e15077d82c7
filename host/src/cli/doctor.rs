//! Owns `persea doctor`: whether each spawner works on this machine, and how it keeps limits of
//! tests. Does not know what a spawner needs.

use clap::Args;

use super::output::print_line;
use super::session::{SpawnerSession, listen_to_signals};
use super::{Context, Failure, exit};
use persea_config::settings;
use persea_model::{Limit, SpawnerKind};
use persea_spawner::{LimitMeans, descriptor};

#[derive(Debug, Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        let chosen = context.config.get(settings::RUN_SPAWNER);
        let mut signals = listen_to_signals()?;
        let mut code = exit::OK;
        for kind in SpawnerKind::ALL {
            let checked = tokio::select! {
                biased;
                () = signals.end() => {
                    return Err(Failure::new(exit::INTERRUPTED, miette::miette!("interrupted")));
                }
                checked = check(kind, context) => checked,
            };
            let (mark, about) = match &checked {
                Ok(_) => ("works", descriptor(kind).about.to_owned()),
                Err(failure) => {
                    if kind == chosen {
                        code = exit::JOB_FAIL;
                    }
                    // One line for each spawner, also where several hosts do not answer.
                    let reasons = failure.report.to_string();
                    let reasons: Vec<&str> = reasons.lines().collect();
                    ("does not work", reasons.join("; "))
                }
            };
            print_line(format_args!("{:<10} {mark}: {about}", kind.name()));
            if let Ok(means) = checked {
                for (limit, means) in means {
                    show_limit(limit, &means);
                }
            }
        }
        Ok(code)
    }
}

/// How a spawner enforces each limit of tests.
type AllMeans = [(Limit, LimitMeans); Limit::ALL.len()];

/// Makes an environment and starts a helper in it. Returns how the limits of tests are enforced
/// there.
async fn check(kind: SpawnerKind, context: &Context) -> Result<AllMeans, Failure> {
    let session = SpawnerSession::new(kind, context).await?;
    let spawner = session.spawners.get(kind).map_err(Failure::of)?;
    let checked = spawner.check().await;
    let means = Limit::ALL.map(|limit| (limit, spawner.limit_means(limit)));
    spawner.close().await;
    checked.map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
    Ok(means)
}

fn show_limit(limit: Limit, means: &LimitMeans) {
    let setting = format!("run.limits.{limit}");
    match means {
        LimitMeans::Exact(by) => print_line(format_args!("    {setting}: kept by {by}")),
        LimitMeans::Approximate(how) => {
            print_line(format_args!("    {setting}: approximate: {how}"));
        }
        LimitMeans::None(why) => print_line(format_args!("    {setting}: not kept: {why}")),
    }
}
