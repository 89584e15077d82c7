//! What tasks are called: their names, their numbers, and their ids, of which no two are the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::input::provenance::Hold;
use persea_config::Config;
use persea_config::settings;
use persea_model::{Outcome, Runnable};

/// A runnable with the number and name that its task will have.
pub(crate) struct Named {
    /// In its suite, or in the job where it has none.
    pub(crate) number: usize,
    pub(crate) name: String,
    /// What people call it, once `entitle` has made it.
    pub(crate) title: String,
    pub(crate) runnable: Runnable,
    pub(crate) ended: Option<Outcome>,
    /// What it may not do, where plugins have made it.
    pub(crate) hold: Option<Arc<Hold>>,
    /// The plugins that have made it, where any but the host's own have.
    pub(crate) makers: Option<Arc<str>>,
}

/// Gives each task its title: the name with its suite before it and its variant after it, as `suite:name;variant`, and a
/// number where tasks before it have the same. To be called before tasks are left out or put into another order, so that a
/// title is the same in every job of the same references.
pub(crate) fn entitle(named: &mut [Named]) {
    let mut used: HashMap<String, usize> = HashMap::with_capacity(named.len());
    for named in named {
        let mut title = String::new();
        if let Some(suite) = named.runnable.suite() {
            title.push_str(suite);
            title.push(':');
        }
        title.push_str(&named.name);
        if let Some(variant) = variant_id(&named.runnable) {
            title.push(';');
            title.push_str(&variant);
        }
        let mut copies = used.get(&title).copied().unwrap_or_default();
        let plain = title.clone();
        while used.contains_key(&title) {
            copies += 1;
            title = format!("{plain} ({})", copies + 1);
        }
        if copies > 0 {
            used.insert(plain, copies);
        }
        used.entry(title.clone()).or_default();
        named.title = title;
    }
}

fn variant_id(runnable: &Runnable) -> Option<String> {
    let id = runnable.more.get("variant")?.member("variant_id")?;
    id.as_str().map(str::to_owned)
}

/// How many digits the numbers have, by suite.
pub(crate) type Widths = HashMap<Option<String>, usize>;

/// How ids are made.
pub(crate) struct Ids {
    format: Option<String>,
    used: HashSet<String>,
}

impl Ids {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            format: config.get(settings::RUN_ID_FORMAT).map(str::to_owned),
            used: HashSet::new(),
        }
    }

    /// Numbers the tasks in their order: each suite for itself where ids name it.
    pub(crate) fn number(&self, named: &mut [Named]) -> Widths {
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

    /// The id of a task: `suite-12-name;variant`, or as it is configured.
    pub(crate) fn id(&self, named: &Named, widths: &Widths) -> String {
        let suite = named.runnable.suite();
        let width = widths.get(&suite.map(str::to_owned)).or(widths.get(&None));
        let width = width.copied().unwrap_or_default();
        let index = format!("{:0width$}", named.number);
        let variant = variant_id(&named.runnable);
        if let Some(format) = &self.format {
            // Names last: what they have in braces is theirs.
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

    /// The same, told apart from all that were made before.
    pub(crate) fn unique(&mut self, named: &Named, widths: &Widths) -> String {
        let id = self.id(named, widths);
        let mut unique = id.clone();
        // A suite may be called as another one with a number is.
        let mut copy = 1;
        while !self.used.insert(unique.clone()) {
            copy += 1;
            unique = format!("{copy}.{id}");
        }
        unique
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_model::Attribute;

    fn ids(format: Option<&str>, tasks: &[(&str, &str)]) -> Vec<String> {
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
            Named {
                number: 0,
                name: (*name).to_owned(),
                title: String::new(),
                runnable,
                ended: None,
                hold: None,
                makers: None,
            }
        };
        let mut named: Vec<Named> = tasks.iter().map(named).collect();
        let mut ids = Ids::new(&config);
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
            Named {
                number: 0,
                name: (*name).to_owned(),
                title: String::new(),
                runnable,
                ended: None,
                hold: None,
                makers: None,
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
        let mut named: Vec<Named> = tasks.iter().map(named).collect();
        entitle(&mut named);
        let titles: Vec<&str> = named.iter().map(|named| named.title.as_str()).collect();
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
    fn ids_are_unique_whatever_suites_are_called() {
        let tasks = [("", "x"), ("a", "1-x"), ("a-1", "x"), ("a", "y")];
        let expected = ["1-x;v", "a-1-1-x;v", "2.a-1-1-x;v", "a-2-y;v"];
        assert_eq!(ids(None, &tasks), expected);
    }

    #[test]
    fn ids_follow_their_format() {
        let tasks = [("a", "x"), ("b", "{index}")];
        assert_eq!(ids(Some("{index}/{name}"), &tasks), ["1/x", "2/{index}"]);
        assert_eq!(
            ids(Some("{kind}-{name}"), &tasks),
            ["noop-x", "noop-{index}"]
        );
        let expected = ["a.1 x v", "b.1 {index} v"];
        assert_eq!(
            ids(Some("{suite}.{index} {name} {variant}"), &tasks),
            expected
        );
    }
}
