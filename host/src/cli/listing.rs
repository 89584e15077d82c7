//! Owns where `run` and `list` run listers, and what they say about runnables that were not listed.

use std::path::PathBuf;
use std::sync::Arc;

use super::output::eprint_line;
use super::session::SpawnerSession;
use super::{Context, Failure, exit};
use persea_job as job;
use persea_job::{
    JobFile, KindRules, ListingPlace, OpenPlace, Resolutions, Signals, TestLister as _,
    TestListing, TypedBy,
};
use persea_model::SpawnerKind;
use persea_model::names::printable;
use persea_plugin::Catalog;
use persea_system::private::{READABLE, create_directory};

/// The number of unlisted runnables that are named.
const NAMED: usize = 5;

/// Whether listers may run something of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listers {
    /// They run in environments of the job's spawner.
    Run,
    /// Only answers that are kept from earlier jobs are used.
    UseKept,
}

/// The references of a command: those of a job file, or those that the user typed.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    File(&'a JobFile),
    Typed(&'a [String]),
}

/// Reads the rules that say which kind of test a file is.
pub(super) fn kind_rules(context: &Context) -> Result<Arc<KindRules>, Failure> {
    // Without a working directory, the job says so later.
    let start = std::env::current_dir().unwrap_or_default();
    let rules = KindRules::new(&context.config, &context.safe_directories(), &start);
    rules.map(Arc::new).map_err(Failure::of)
}

/// The references of a command to which the user has given none: the files of the rules.
///
/// # Errors
/// There are none.
pub(super) fn default_references(rules: &KindRules, command: &str) -> Result<Vec<String>, Failure> {
    let (references, unmatched) = job::references_of(rules);
    for glob in unmatched {
        eprint_line(format_args!(
            "note: no file matches `{}` of a `[[kind]]`",
            printable(&glob)
        ));
    }
    match references.is_empty() {
        false => Ok(references),
        true => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = format!(
                    "name files or directories: `persea {command} tests/`; or say in persea.toml \
                     with `[[kind]]` which files are tests; `persea {command} --help` shows all \
                     options"
                ),
                "no references, and no `[[kind]]` that matches a file"
            ),
        )),
    }
}

/// Resolves references and lists their tests. Returns none if one of `signals` arrives first.
pub(super) async fn resolve(
    context: &Context,
    catalog: &Arc<Catalog>,
    rules: &Arc<KindRules>,
    input: Input<'_>,
    listers: Listers,
    signals: Option<&mut Signals>,
) -> Result<Option<Resolutions>, Failure> {
    let config = &context.config;
    let open: Option<OpenPlace<'_>> = match listers {
        Listers::Run => Some(Box::new(|spawner| Box::pin(open_place(context, spawner)))),
        Listers::UseKept => None,
    };
    let mut listing = TestListing::new(catalog, config, context.cache.as_deref(), open);
    let resolved = async {
        let resolutions = match input {
            Input::File(file) => {
                let resolutions = file.resolve(catalog, config, rules, &mut listing).await;
                resolutions.map_err(Failure::of)?
            }
            Input::Typed(references) => {
                let typed_by = TypedBy::User;
                let resolutions = job::resolve(catalog, config, rules, references, typed_by);
                let mut resolutions = resolutions.await;
                listing.list(&mut resolutions).await;
                resolutions
            }
        };
        Ok::<Resolutions, Failure>(resolutions)
    };
    let ended = async {
        match signals {
            Some(signals) => signals.end().await,
            None => std::future::pending().await,
        }
    };
    let resolutions = tokio::select! {
        biased;
        () = ended => None,
        resolutions = resolved => Some(resolutions),
    };
    listing.close().await;
    resolutions.transpose()
}

async fn open_place(context: &Context, spawner: SpawnerKind) -> Result<ListingPlace, String> {
    let session = SpawnerSession::new(spawner, context).await;
    let SpawnerSession {
        spawners,
        temporary,
    } = session.map_err(|failure| failure.report.to_string())?;
    let directory: PathBuf = temporary.shared().join("listing");
    let made = create_directory(&directory, READABLE);
    let place = made.and_then(|()| {
        let guard = Box::new(temporary);
        let config = &context.config;
        let slots = job::parallel(spawner, config);
        ListingPlace::new(config, spawners, slots, &directory, guard)
    });
    place.map_err(|error| format!("no directory for the files of listers: {error}"))
}

/// Says which runnables stand for many tests and were not listed.
pub(super) fn note_unlisted(resolutions: &Resolutions) {
    let unlisted = &resolutions.unlisted;
    let names: Vec<&str> = unlisted.iter().take(NAMED).map(String::as_str).collect();
    let names = printable(&names.join(", ")).into_owned();
    let more = match unlisted.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if !unlisted.is_empty() {
        eprint_line(format_args!(
            "note: the tests of {names}{more} are not listed, because that runs something of the \
             project; `--run-listers` does"
        ));
    }
}
