//! Owns the names, titles, numbers and ids of tasks. Ids and titles are unique in a job.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::input::identifier::identifier;
use crate::input::own_settings;
use crate::input::provenance::Restrictions;
use persea_config::Config;
use persea_config::settings;
use persea_journal::MadeBy;
use persea_model::{Outcome, Runnable};

/// A runnable with the name and number of its task.
pub(crate) struct NamedRunnable {
    /// The task's number in its suite, or in the job.
    pub(crate) number: usize,
    pub(crate) name: Arc<str>,
    /// The name for people, set by [`set_titles`].
    pub(crate) title: Arc<str>,
    pub(crate) runnable: Arc<Runnable>,
    pub(crate) ended: Option<Box<Outcome>>,
    /// Restrictions from the plugins that produced it, if there are any.
    pub(crate) restrictions: Option<Arc<Restrictions>>,
    /// The provenance: the third-party plugins that produced it, if there are any.
    pub(crate) provenance: Option<Arc<str>>,
    /// The provenance as the journal has it.
    pub(crate) made_by: Option<Arc<MadeBy>>,
}

impl NamedRunnable {
    /// A test of a reference, without a number, and with its name as its title.
    pub(crate) fn new(name: Arc<str>, runnable: &Arc<Runnable>) -> Self {
        Self {
            number: 0,
            title: Arc::clone(&name),
            name,
            runnable: Arc::clone(runnable),
            ended: None,
            restrictions: None,
            provenance: None,
            made_by: None,
        }
    }
}

/// The name of a runnable's task: its identifier, or else a name in the runnable's own format or in
/// `format`.
pub(crate) fn name_of<'a>(runnable: &'a Runnable, format: &str) -> Cow<'a, str> {
    if let Some(identifier) = &runnable.identifier {
        return Cow::Borrowed(identifier);
    }
    let own = own_settings::identifier_format(&runnable.more);
    Cow::Owned(identifier(own.as_deref().unwrap_or(format), runnable))
}

/// Sets each task's title: `suite:name;variant`, and a number where earlier tasks have the same.
/// Called before tasks are left out or reordered, so that a title is the same in every job of the
/// same references.
pub(crate) fn set_titles(named: &mut [NamedRunnable]) {
    let mut used: HashMap<Arc<str>, u32> = HashMap::with_capacity(named.len());
    for named in named {
        let plain = plain_title(named);
        let mut copies = used.get(&plain).copied().unwrap_or_default();
        let mut title = Arc::clone(&plain);
        while used.contains_key(&title) {
            copies += 1;
            title = format!("{plain} ({})", copies + 1).into();
        }
        if copies > 0 {
            used.insert(plain, copies);
        }
        used.entry(Arc::clone(&title)).or_default();
        named.title = title;
    }
}

/// The title of a task that no earlier task has.
fn plain_title(named: &NamedRunnable) -> Arc<str> {
    let NamedRunnable { name, runnable, .. } = named;
    match (runnable.suite(), variant_id(runnable)) {
        (None, None) => Arc::clone(name),
        (Some(suite), None) => format!("{suite}:{name}").into(),
        (None, Some(variant)) => format!("{name};{variant}").into(),
        (Some(suite), Some(variant)) => format!("{suite}:{name};{variant}").into(),
    }
}

fn variant_id(runnable: &Runnable) -> Option<String> {
    let id = runnable.more.get("variant")?.member("variant_id")?;
    id.as_str().map(str::to_owned)
}

/// The number of digits of the numbers, by suite.
pub(crate) type Widths = HashMap<Option<String>, usize>;

/// Makes unique ids for tasks.
pub(crate) struct TaskIds {
    format: Option<String>,
    used: HashSet<Arc<str>>,
}

impl TaskIds {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            format: config.get(settings::RUN_ID_FORMAT).map(str::to_owned),
            used: HashSet::new(),
        }
    }

    /// Numbers the tasks in their order: per suite if ids contain the suite.
    pub(crate) fn number(&self, named: &mut [NamedRunnable]) -> Widths {
        let by_suite = self
            .format
            .as_ref()
            .is_none_or(|format| format.contains("{suite}"));
        let mut counts: HashMap<Option<String>, usize> = HashMap::new();
        for named in named {
            let suite = named.runnable.suite().filter(|_| by_suite);
            let count = counts.entry(suite.map(str::to_owned)).or_default();
            *count += 1;
            named.number = *count;
        }
        let widths = counts.into_iter();
        widths
            .map(|(suite, count)| (suite, count.to_string().len()))
            .collect()
    }

    /// The id of a task: `suite-12-name;variant`, or as configured. Not necessarily unique.
    pub(crate) fn id(&self, named: &NamedRunnable, widths: &Widths) -> String {
        let suite = named.runnable.suite();
        let width = widths.get(&suite.map(str::to_owned)).or(widths.get(&None));
        let width = width.copied().unwrap_or_default();
        let index = format!("{:0width$}", named.number);
        let variant = variant_id(&named.runnable);
        if let Some(format) = &self.format {
            // The name is inserted last, so that braces in it are kept.
            return format
                .replace("{index}", &index)
                .replace("{suite}", suite.unwrap_or_default())
                .replace("{kind}", &named.runnable.kind)
                .replace("{variant}", &variant.unwrap_or_default())
                .replace("{name}", &named.name);
        }
        let mut id = match suite {
            Some(suite) => format!("{suite}-{index}-{}", named.name),
            None => format!("{index}-{}", named.name),
        };
        if let Some(variant) = variant {
            id.push(';');
            id.push_str(&variant);
        }
        id
    }

    /// The ids of tasks. See [`Self::id`].
    pub(crate) fn all(&self, named: &[NamedRunnable], widths: &Widths) -> Vec<String> {
        named.iter().map(|named| self.id(named, widths)).collect()
    }

    /// The id of a task, made different from all earlier ones.
    pub(crate) fn unique(&mut self, named: &NamedRunnable, widths: &Widths) -> Arc<str> {
        let id: Arc<str> = self.id(named, widths).into();
        let mut unique = Arc::clone(&id);
        // The name of one suite may look like that of another with a number.
        let mut copy = 1;
        while !self.used.insert(Arc::clone(&unique)) {
            copy += 1;
            unique = format!("{copy}.{id}").into();
        }
        unique
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_model::Attribute;

    fn ids(format: Option<&str>, tasks: &[(&str, &str)]) -> Vec<Arc<str>> {
        let mut config = Config::default();
        if let Some(format) = format {
            config.set_option(settings::RUN_ID_FORMAT, format);
        }
        let named = |(suite, name): &(&str, &str)| {
            let mut runnable = Runnable {
                kind: "noop".to_owned(),
                ..Runnable::default()
            };
            if !suite.is_empty() {
                runnable.more.insert("suite".into(), (*suite).into());
            }
            let variant = serde_json::json!({"variant_id": "v"});
            runnable.more.insert("variant".into(), variant.into());
            NamedRunnable {
                number: 0,
                name: (*name).into(),
                title: "".into(),
                runnable: runnable.into(),
                ended: None,
                restrictions: None,
                provenance: None,
                made_by: None,
            }
        };
        let mut named: Vec<NamedRunnable> = tasks.iter().map(named).collect();
        let mut ids = TaskIds::new(&config);
        let widths = ids.number(&mut named);
        named
            .iter()
            .map(|named| ids.unique(named, &widths))
            .collect()
    }

    #[test]
    fn titles_name_suite_and_variant_and_are_unique() {
        let named = |(suite, name, variant): &(&str, &str, &str)| {
            let mut runnable = Runnable::default();
            for (key, value) in [
                ("suite", Attribute::from(*suite)),
                ("variant", serde_json::json!({"variant_id": variant}).into()),
            ] {
                if !value.to_string().contains("\"\"") {
                    runnable.more.insert(key.into(), value);
                }
            }
            NamedRunnable {
                number: 0,
                name: (*name).into(),
                title: "".into(),
                runnable: runnable.into(),
                ended: None,
                restrictions: None,
                provenance: None,
                made_by: None,
            }
        };
        let tasks = [
            ("", "a", ""),
            ("s", "a", "v-1"),
            ("", "a (2)", ""),
            ("", "a", ""),
            ("", "a", ""),
            ("s", "a", "v-1"),
            ("", "a (2)", ""),
        ];
        let mut named: Vec<NamedRunnable> = tasks.iter().map(named).collect();
        set_titles(&mut named);
        let titles: Vec<&str> = named.iter().map(|named| &*named.title).collect();
        assert_eq!(
            titles,
            [
                "a",
                "s:a;v-1",
                "a (2)",
                "a (3)",
                "a (4)",
                "s:a;v-1 (2)",
                "a (2) (2)"
            ]
        );
    }

    #[test]
    fn ids_are_unique_with_ambiguous_suite_names() {
        let tasks = [("", "x"), ("a", "1-x"), ("a-1", "x"), ("a", "y")];
        let expected = ["1-x;v", "a-1-1-x;v", "2.a-1-1-x;v", "a-2-y;v"];
        assert_eq!(ids(None, &tasks), expected.map(Arc::<str>::from));
    }

    #[test]
    fn ids_follow_their_format() {
        let tasks = [("a", "x"), ("b", "{index}")];
        for (format, expected) in [
            ("{index}/{name}", ["1/x", "2/{index}"]),
            ("{kind}-{name}", ["noop-x", "noop-{index}"]),
            (
                "{suite}.{index} {name} {variant}",
                ["a.1 x v", "b.1 {index} v"],
            ),
        ] {
            assert_eq!(ids(Some(format), &tasks), expected.map(Arc::<str>::from));
        }
    }
}
