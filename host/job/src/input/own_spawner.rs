//! Owns where a single runnable runs: `spawner` and `image`, and which value wins. Does not know
//! what a spawner does, or whether a recipe, a job file or a resolver has set them.

use std::collections::BTreeSet;

use persea_config::{Config, Origin, settings};
use persea_model::{Attribute, Attributes, Runnable, SpawnerKind};

/// The key of a runnable's spawner.
pub(crate) const SPAWNER: &str = "spawner";

/// The key of the image in whose containers a runnable runs.
pub(crate) const IMAGE: &str = "image";

/// The spawner of a job's tests, and whether a test may have another one.
#[derive(Clone, Debug)]
pub struct SpawnerChoice {
    of_job: SpawnerKind,
    may_differ: MayDiffer,
}

/// Which other spawner a test may have. A project names the spawners of its tests, so it must not
/// take away the isolation that the user has chosen.
#[derive(Clone, Debug)]
enum MayDiffer {
    /// Any: the project or nobody has chosen the spawner of the job.
    ToAny,
    /// One that isolates: the user's configuration, which is in this file, has one that isolates.
    ToIsolating(String),
    /// None: the command line or a variable says where all tests run.
    No,
}

impl SpawnerChoice {
    /// The choice that the settings leave.
    pub fn new(config: &Config) -> Self {
        let of_job = config.get(settings::RUN_SPAWNER);
        let origin = config.set_by(settings::RUN_SPAWNER.name());
        let may_differ = match origin.map(|(_, origin)| origin) {
            Some(Origin::CommandLine | Origin::Environment(_)) => MayDiffer::No,
            Some(origin @ Origin::File(_)) if of_job.is_isolating() => {
                MayDiffer::ToIsolating(origin.to_string())
            }
            Some(Origin::File(_) | Origin::Project(_) | Origin::Default) | None => MayDiffer::ToAny,
        };
        Self { of_job, may_differ }
    }

    /// The spawner of tests that name none.
    pub(crate) fn of_job(&self) -> SpawnerKind {
        self.of_job
    }

    /// The spawner of a runnable with this `more`.
    ///
    /// # Errors
    /// The runnable names one that it may not have, or that does not exist.
    pub(crate) fn of(&self, more: &Attributes) -> Result<SpawnerKind, String> {
        let Some(own) = spawner(more)? else {
            return Ok(self.of_job);
        };
        match &self.may_differ {
            MayDiffer::No => Ok(self.of_job),
            MayDiffer::ToIsolating(file) if !own.is_isolating() => Err(format!(
                "the test wants the spawner `{own}`, which does not isolate, and {file} has \
                 `{}`: use `--spawner {own}` to run all tests there, or `--spawner {}`",
                self.of_job, self.of_job
            )),
            MayDiffer::ToIsolating(_) | MayDiffer::ToAny => Ok(own),
        }
    }

    /// Where a runnable with this `more` runs, for people: `container IMAGE`. None for the spawner
    /// of the job with the image of the settings.
    pub fn own_environment(&self, more: &Attributes) -> Option<String> {
        let spawner = self.of(more).ok()?;
        match image(more).filter(|_| spawner == SpawnerKind::Container) {
            Some(image) => Some(format!("{spawner} {image}")),
            None => (spawner != self.of_job).then(|| spawner.to_string()),
        }
    }

    /// Checks whether a runnable that names an image would run in a container of it. The command
    /// line may run a test elsewhere that names the spawner of its image, too.
    ///
    /// # Errors
    /// The runnable would run without its image.
    pub(crate) fn check_image(&self, more: &Attributes, chosen: SpawnerKind) -> Result<(), String> {
        let own = spawner(more)?;
        let is_replaced = own == Some(SpawnerKind::Container) && own != Some(chosen);
        match image(more) {
            Some(image) if chosen != SpawnerKind::Container && !is_replaced => Err(format!(
                "the test wants a container of the image `{image}`, and the spawner `{chosen}` \
                 makes none: use `--spawner {container}`, or write `spawner = \"{container}\"` \
                 beside the image",
                container = SpawnerKind::Container
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// The spawners of these tests, at least one.
pub(crate) fn spawners_of_runnables<'a>(
    runnables: impl Iterator<Item = &'a Runnable>,
    config: &Config,
) -> Vec<SpawnerKind> {
    let choice = SpawnerChoice::new(config);
    let mut kinds: BTreeSet<SpawnerKind> = runnables
        .filter_map(|runnable| choice.of(&runnable.more).ok())
        .collect();
    if kinds.is_empty() {
        kinds.insert(choice.of_job());
    }
    kinds.into_iter().collect()
}

/// The spawner that a runnable names.
///
/// # Errors
/// There is none of that name.
pub(crate) fn spawner(more: &Attributes) -> Result<Option<SpawnerKind>, String> {
    let own = match more.get(SPAWNER) {
        None | Some(Attribute::Null) => return Ok(None),
        Some(own) => own,
    };
    let name = own.clone().into_text();
    match name.and_then(|name| SpawnerKind::parse(&name)) {
        Some(kind) => Ok(Some(kind)),
        None => Err(format!(
            "`{SPAWNER}`: expected {}, found `{own}`",
            SpawnerKind::EXPECTED
        )),
    }
}

/// The image that a runnable names for its containers.
pub(crate) fn image(more: &Attributes) -> Option<String> {
    more.get(IMAGE)?.clone().into_text()
}

/// Adds the spawner and the image of a suite or a job to a runnable that names none. An image goes
/// with its spawner: a runnable that names another spawner does not get it.
pub(crate) fn add(more: &mut Attributes, kind: Option<SpawnerKind>, image: Option<&str>) {
    let is_set = |more: &Attributes, key: &str| more.get(key).is_some_and(|own| !own.is_null());
    if let (Some(kind), false) = (kind, is_set(more, SPAWNER)) {
        more.insert(SPAWNER.into(), kind.name().into());
    }
    let takes_image = matches!(spawner(more), Ok(None | Some(SpawnerKind::Container)));
    if let (Some(image), true, false) = (image, takes_image, is_set(more, IMAGE)) {
        more.insert(IMAGE.into(), image.into());
    }
}

/// Whether a runnable names a spawner or an image.
pub(crate) fn is_placed(more: &Attributes) -> bool {
    more.contains_key(SPAWNER) || more.contains_key(IMAGE)
}

/// Gives a test the spawner and the image of the runnable that it was listed from.
pub(crate) fn inherit(test: &mut Attributes, from: &Attributes) {
    for key in [SPAWNER, IMAGE] {
        if let Some(value) = from.get(key) {
            test.insert(key.into(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn more(json: &str) -> Attributes {
        serde_json::from_str(json).unwrap()
    }

    fn choice(of_job: SpawnerKind, may_differ: MayDiffer) -> SpawnerChoice {
        SpawnerChoice { of_job, may_differ }
    }

    #[test]
    fn spawner_of_a_test_wins_unless_the_user_has_chosen_more_isolation() {
        use SpawnerKind::{Container, Process, Sandbox, Ssh};
        let users = || MayDiffer::ToIsolating("config.toml".to_owned());
        for (of_job, may_differ, own, expected) in [
            (Process, MayDiffer::ToAny, "{}", Some(Process)),
            (
                Process,
                MayDiffer::ToAny,
                r#"{"spawner": null}"#,
                Some(Process),
            ),
            (
                Process,
                MayDiffer::ToAny,
                r#"{"spawner": "ssh"}"#,
                Some(Ssh),
            ),
            (
                Sandbox,
                MayDiffer::ToAny,
                r#"{"spawner": "process"}"#,
                Some(Process),
            ),
            (Sandbox, users(), r#"{"spawner": "process"}"#, None),
            (Sandbox, users(), r#"{"spawner": "ssh"}"#, None),
            (
                Sandbox,
                users(),
                r#"{"spawner": "container"}"#,
                Some(Container),
            ),
            (Sandbox, users(), "{}", Some(Sandbox)),
            (
                Sandbox,
                MayDiffer::No,
                r#"{"spawner": "process"}"#,
                Some(Sandbox),
            ),
            (
                Process,
                MayDiffer::No,
                r#"{"spawner": "sandbox"}"#,
                Some(Process),
            ),
            (Process, MayDiffer::ToAny, r#"{"spawner": "moon"}"#, None),
            (Process, MayDiffer::No, r#"{"spawner": 1}"#, None),
        ] {
            let found = choice(of_job, may_differ.clone()).of(&more(own)).ok();
            assert_eq!(found, expected, "{of_job} {may_differ:?} {own}");
        }
    }

    #[test]
    fn image_without_a_container_is_an_error_unless_the_command_line_replaced_it() {
        let any = choice(SpawnerKind::Process, MayDiffer::ToAny);
        let both = more(r#"{"spawner": "container", "image": "a"}"#);
        let alone = more(r#"{"image": "a"}"#);
        let wrong = more(r#"{"spawner": "sandbox", "image": "a"}"#);
        let (process, container) = (SpawnerKind::Process, SpawnerKind::Container);
        assert_eq!(any.check_image(&both, process), Ok(()));
        assert_eq!(any.check_image(&alone, container), Ok(()));
        assert!(any.check_image(&alone, process).is_err());
        assert!(any.check_image(&wrong, SpawnerKind::Sandbox).is_err());
    }

    #[test]
    fn image_of_a_suite_goes_with_its_spawner() {
        for (own, expected) in [
            ("{}", r#"{"spawner": "container", "image": "of-suite"}"#),
            (r#"{"spawner": "process"}"#, r#"{"spawner": "process"}"#),
            (
                r#"{"spawner": "container"}"#,
                r#"{"spawner": "container", "image": "of-suite"}"#,
            ),
            (
                r#"{"image": "own"}"#,
                r#"{"spawner": "container", "image": "own"}"#,
            ),
        ] {
            let mut found = more(own);
            add(&mut found, Some(SpawnerKind::Container), Some("of-suite"));
            assert_eq!(found, more(expected), "{own}");
        }
        let mut none = more("{}");
        add(&mut none, None, None);
        assert_eq!(none, more("{}"));
        add(
            &mut none,
            Some(SpawnerKind::Sandbox),
            Some("for containers"),
        );
        assert_eq!(none, more(r#"{"spawner": "sandbox"}"#));
    }

    #[test]
    fn listed_test_runs_where_its_program_was_to_run() {
        let mut test = more(r#"{"spawner": "process", "timeout": 1}"#);
        inherit(
            &mut test,
            &more(r#"{"spawner": "container", "image": "a", "x": 1}"#),
        );
        let expected = r#"{"spawner": "container", "image": "a", "timeout": 1}"#;
        assert_eq!(test, more(expected));
    }
}
