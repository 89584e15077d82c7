//! A variant as a test gets it: its parameters in Avocado's words, with an id that no other variant of the test has. It must not know
//! where the parameters come from.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use persea_model::Runnable;
use persea_model::names::cut;

/// The longest readable part of an id, in bytes.
const READABLE: usize = 60;

/// How many digits of the checksum are in an id where they tell it apart from all others.
const DIGITS: usize = 4;

/// Values by name, as texts: what a test is given.
pub(super) type Parameters = BTreeMap<String, String>;

/// The test once with each of these, no two of which are the same.
pub(super) fn with_each(runnable: &Runnable, all: &[Parameters]) -> Vec<Runnable> {
    let variants = all.iter().zip(ids(all));
    variants
        .map(|(parameters, id)| {
            let mut runnable = runnable.clone();
            runnable
                .more
                .insert("variant".into(), variant(parameters, &id).into());
            runnable
        })
        .collect()
}

/// A variant as Avocado writes it: a tree of one leaf with the parameters.
fn variant(parameters: &Parameters, id: &str) -> Value {
    json!({
        "paths": ["/run/*"],
        "variant_id": id,
        "variant": [["/", triples(parameters)]],
    })
}

fn triples(parameters: &Parameters) -> Value {
    let triples = parameters.iter();
    triples
        .map(|(name, value)| json!(["/", name, value]))
        .collect()
}

/// `mem-small-os-linux-3ac1`: readable, and told apart by the checksum at its end. Those that would be the same so have all of it.
fn ids(all: &[Parameters]) -> Vec<String> {
    let made: Vec<(String, String)> = all
        .iter()
        .map(|parameters| {
            let digest = Sha256::digest(triples(parameters).to_string());
            let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            (readable(parameters), digest)
        })
        .collect();
    let short = |(readable, digest): &(String, String)| {
        let digits: String = digest.chars().take(DIGITS).collect();
        format!("{readable}{digits}")
    };
    let mut times: HashMap<String, usize> = HashMap::new();
    for one in &made {
        *times.entry(short(one)).or_default() += 1;
    }
    let id = |one: &(String, String)| {
        let short = short(one);
        match times.get(&short) {
            Some(1) => short,
            _ => one.0.clone() + &one.1,
        }
    };
    made.iter().map(id).collect()
}

/// Names and values, with the mark after them.
fn readable(parameters: &Parameters) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() || c == '.' {
        true => c,
        false => '_',
    };
    let plain = |text: &str| text.chars().map(plain).collect::<String>();
    let words: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}-{}", plain(name), plain(value)))
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("{}-", cut(&words.join("-"), READABLE)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::collections::HashSet;

    fn parameters(all: &[(&str, &str)]) -> Parameters {
        let all = all.iter();
        all.map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn the_values_are_parameters_as_avocado_has_them() {
        let all = with_each(&Runnable::default(), &[parameters(&[("os", "linux")])]);
        let variant = &all[0].more["variant"];
        let expected = json!([["/", [["/", "os", "linux"]]]]);
        assert_eq!(variant.member("variant"), Some(expected.into()));
    }

    #[test]
    fn ids_differ_where_their_readable_parts_do_not() {
        let ids = ids(&[parameters(&[("a", "x y")]), parameters(&[("a", "x_y")])]);
        assert!(ids.iter().all(|id| id.starts_with("a-x_y-")), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn ids_differ_however_many_there_are() {
        // With four digits alone some hundreds of these would be the same.
        let long = "x".repeat(READABLE);
        let number = |n: usize| parameters(&[("a", &format!("{long}{n}"))]);
        let all: Vec<Parameters> = (0..5_000).map(number).collect();
        let ids = ids(&all);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), all.len());
        let short = ids.iter().filter(|id| id.len() == READABLE + 1 + DIGITS);
        assert!(short.count() > 4_000);
    }

    #[test]
    fn a_test_may_be_run_without_parameters_too() {
        let ids = ids(&[Parameters::new()]);
        assert_eq!(ids[0].len(), DIGITS);
    }
}
