//! Owns the variants of axes: the combinations of values that the filters keep. Does not know how
//! the variants are used.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::MAX_VARIANTS;
use super::parameters::Parameters;

/// Axes with their values, and filters of their combinations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Axes {
    /// By axis: its values in order.
    axes: BTreeMap<String, Vec<toml::Value>>,
    /// Only combinations that match one of these.
    #[serde(default)]
    only: Vec<Filter>,
    /// No combination that matches one of these.
    #[serde(default)]
    no: Vec<Filter>,
}

/// The most steps to find the combinations of one test: about a second.
const MAX_STEPS: usize = 1000 * MAX_VARIANTS;

/// Axes with the matching values, one or several of each.
type Filter = BTreeMap<String, toml::Value>;

/// Each axis with one of its values.
type Choice<'a> = Vec<(&'a str, &'a toml::Value)>;

impl Axes {
    /// Checks the axes and filters.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut count: usize = 1;
        for (axis, values) in &self.axes {
            count = count.saturating_mul(values.len());
            if values.is_empty() || !values.iter().all(is_plain) {
                return Err(format!(
                    "the axis `{axis}` is a list of at least one text, number or truth value"
                ));
            }
            // A test could not distinguish equal texts.
            let mut texts: Vec<String> = values.iter().map(text).collect();
            texts.sort();
            if let Some([twice, _]) = texts.array_windows().find(|[one, next]| one == next) {
                return Err(format!("the axis `{axis}` has the value {twice} twice"));
            }
        }
        if count > MAX_VARIANTS {
            return Err(format!(
                "its axes have {count} combinations, more than {MAX_VARIANTS}"
            ));
        }
        let (axes, filters) = (self.axes.len(), self.only.len() + self.no.len());
        let named = self.named().map(|(_, wanted)| each(wanted).len());
        let one = named.sum::<usize>() + axes + filters;
        if count.saturating_mul(axes).saturating_mul(one) > MAX_STEPS {
            return Err(format!(
                "{count} combinations of {axes} axes with {filters} filters are too many: \
                 use fewer axes or filters"
            ));
        }
        for (axis, wanted) in self.named() {
            let Some(values) = self.axes.get(axis) else {
                return Err(format!("a filter names the unknown axis `{axis}`"));
            };
            if let Some(value) = each(wanted).iter().find(|value| !values.contains(value)) {
                return Err(format!(
                    "a filter names {value} of the axis `{axis}`, which has no such value"
                ));
            }
        }
        Ok(())
    }

    /// The axes and values in the filters.
    fn named(&self) -> impl Iterator<Item = (&String, &toml::Value)> {
        self.only.iter().chain(&self.no).flatten()
    }

    /// The combinations that the filters keep. The last axis changes fastest.
    pub(super) fn combinations(&self) -> Vec<Parameters> {
        let mut choices: Vec<Choice<'_>> = vec![Vec::new()];
        for (axis, values) in &self.axes {
            let mut longer = Vec::new();
            for choice in &choices {
                for value in values {
                    let mut choice = choice.clone();
                    choice.push((axis, value));
                    longer.push(choice);
                }
            }
            choices = longer;
        }
        choices.retain(|choice| {
            let fits = |filter: &Filter| {
                choice.iter().all(|(axis, value)| {
                    let wanted = filter.get(*axis);
                    wanted.is_none_or(|wanted| each(wanted).contains(value))
                })
            };
            (self.only.is_empty() || self.only.iter().any(fits)) && !self.no.iter().any(fits)
        });
        let parameters = |choice: Choice<'_>| {
            let values = choice.into_iter();
            values
                .map(|(axis, value)| (axis.to_owned(), text(value)))
                .collect()
        };
        choices.into_iter().map(parameters).collect()
    }
}

fn is_plain(value: &toml::Value) -> bool {
    !(value.is_array() || value.is_table() || value.is_datetime())
}

/// One value, or each of a list.
fn each(value: &toml::Value) -> &[toml::Value] {
    let all = value.as_array().map(Vec::as_slice);
    all.unwrap_or(std::slice::from_ref(value))
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// The combinations, as `mem=1 os=linux`.
    fn all(text: &str) -> Vec<String> {
        let axes: Axes = toml::from_str(text).unwrap();
        axes.check().unwrap();
        let line = |parameters: &Parameters| {
            let all = parameters.iter();
            let all: Vec<String> = all.map(|(name, value)| format!("{name}={value}")).collect();
            all.join(" ")
        };
        axes.combinations().iter().map(line).collect()
    }

    const AXES: &str = "axes.mem = [1, 2]\naxes.os = [\"linux\", \"hurd\"]\n";

    #[test]
    fn every_combination_occurs_once() {
        let expected = [
            "mem=1 os=linux",
            "mem=1 os=hurd",
            "mem=2 os=linux",
            "mem=2 os=hurd",
        ];
        assert_eq!(all(AXES), expected);
    }

    #[test]
    fn texts_numbers_and_truth_values_are_values() {
        assert_eq!(
            all("axes.a = ['x', 1, -2.5, true]"),
            ["a=x", "a=1", "a=-2.5", "a=true"]
        );
    }

    #[test]
    fn filters_select_combinations() {
        let all = |filters: &str| all(&format!("{AXES}{filters}"));
        assert_eq!(
            all("only = [{os = \"hurd\"}]"),
            ["mem=1 os=hurd", "mem=2 os=hurd"]
        );
        let no = "no = [{os = \"hurd\", mem = [1, 2]}]";
        assert_eq!(all(no), ["mem=1 os=linux", "mem=2 os=linux"]);
        let both = "only = [{os = \"hurd\"}, {mem = 1}]\nno = [{mem = 2}]";
        assert_eq!(all(both), ["mem=1 os=linux", "mem=1 os=hurd"]);
    }

    #[test]
    fn invalid_axes_are_rejected_with_the_reason() {
        let many: String = (0..20_000).map(|n| format!("axes.a{n} = [1]\n")).collect();
        let values: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        let filters = "{a = []},".repeat(300_000);
        let filters = format!("axes.a = [{}]\nno = [{filters}]", values.join(","));
        for (text, words) in [
            ("axes.os = []", "the axis `os` is a list of at least one"),
            ("axes.os = [[1]]", "the axis `os` is a list"),
            ("axes.os = [{a = 1}]", "the axis `os` is a list"),
            ("axes.os = ['a', 1979-05-27]", "the axis `os` is a list"),
            ("axes.os = [07:32:00]", "the axis `os` is a list"),
            ("axes.os = [1, 2, '1']", "has the value 1 twice"),
            (
                "axes.os = [1]\nonly = [{cpu = 1}]",
                "names the unknown axis `cpu`",
            ),
            ("axes.os = [1]\nno = [{os = 2}]", "names 2 of the axis `os`"),
            (&many, "too many: use fewer axes"),
            (&filters, "with 300000 filters are too many"),
        ] {
            let axes: Axes = toml::from_str(text).unwrap();
            let error = axes.check().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    /// Generates axes, and values of them to filter by.
    fn axes() -> impl Strategy<Value = Axes> {
        let axes =
            prop::collection::btree_map("[a-c]", prop::collection::btree_set(0..4_i64, 1..4), 0..4);
        axes.prop_flat_map(|axes| {
            let all: Vec<(String, i64)> = axes
                .iter()
                .flat_map(|(axis, values)| values.iter().map(|value| (axis.clone(), *value)))
                .collect();
            let count = all.len().min(3);
            let filter = prop::sample::subsequence(all, 0..=count).prop_map(|chosen| {
                let mut filter: BTreeMap<String, Vec<toml::Value>> = BTreeMap::new();
                for (axis, value) in chosen {
                    filter.entry(axis).or_default().push(value.into());
                }
                let filter = filter.into_iter();
                filter
                    .map(|(axis, values)| (axis, values.into()))
                    .collect::<Filter>()
            });
            let filters = || prop::collection::vec(filter.clone(), 0..3);
            let values = |values: std::collections::BTreeSet<i64>| {
                values.into_iter().map(toml::Value::from).collect()
            };
            let axes: BTreeMap<String, Vec<toml::Value>> = axes
                .into_iter()
                .map(|(axis, all)| (axis, values(all)))
                .collect();
            (Just(axes), filters(), filters()).prop_map(|(axes, only, no)| Axes { axes, only, no })
        })
    }

    proptest! {
        /// Filters select from all combinations, none of which occurs twice: `only` keeps what `no`
        /// with the same filters would remove.
        #[test]
        fn filters_divide_all_combinations(axes in axes()) {
            prop_assert_eq!(axes.check(), Ok(()));
            let whole = Axes { only: Vec::new(), no: Vec::new(), ..axes.clone() };
            let all = whole.combinations();
            prop_assert_eq!(all.len(), axes.axes.values().map(Vec::len).product::<usize>());
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            prop_assert_eq!(distinct.len(), all.len());

            let only = Axes { no: Vec::new(), ..axes.clone() }.combinations();
            let no = Axes { only: Vec::new(), ..axes.clone() }.combinations();
            let both = axes.combinations();
            let in_both = |it: &&Parameters| only.contains(*it) && no.contains(*it);
            let expected: Vec<_> = all.iter().filter(in_both).cloned().collect();
            prop_assert_eq!(both, expected);
            if !axes.only.is_empty() {
                let others = Axes { no: axes.only.clone(), only: Vec::new(), ..axes };
                let others = others.combinations();
                prop_assert_eq!(only.len() + others.len(), all.len());
                prop_assert!(only.iter().all(|it| !others.contains(it)));
            }
        }
    }
}
