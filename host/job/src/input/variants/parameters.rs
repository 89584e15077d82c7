//! Owns the form of a variant in a runnable: its parameters in Avocado's format, with an id that is
//! unique among the test's variants. Does not know where the parameters come from.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use persea_model::Runnable;
use persea_model::names::cut;

/// The longest readable part of an id, in bytes.
const READABLE: usize = 60;

/// The number of digits of the checksum in an id that is unique with so many.
const DIGITS: usize = 4;

/// The parameters of a variant: texts by name.
pub(super) type Parameters = BTreeMap<String, String>;

/// Returns the test once with each of these different sets of parameters.
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

/// A variant in Avocado's format: a tree of one leaf with the parameters.
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

/// Returns ids such as `mem-small-os-linux-3ac1`: a readable part and the start of a checksum. Ids
/// that would be equal get the whole checksum.
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

/// The names and values, with a separator at the end.
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
    fn variant_has_avocados_format() {
        let all = with_each(&Runnable::default(), &[parameters(&[("os", "linux")])]);
        let variant = &all[0].more["variant"];
        let expected = json!([["/", [["/", "os", "linux"]]]]);
        assert_eq!(variant.member("variant"), Some(expected.into()));
    }

    #[test]
    fn ids_differ_when_their_readable_parts_are_equal() {
        let ids = ids(&[parameters(&[("a", "x y")]), parameters(&[("a", "x_y")])]);
        assert!(ids.iter().all(|id| id.starts_with("a-x_y-")), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn ids_differ_however_many_there_are() {
        // With four digits alone some hundreds of these would be equal.
        let long = "x".repeat(READABLE);
        let number = |n: usize| parameters(&[("a", &format!("{long}{n}"))]);
        let all: Vec<Parameters> = (0..5_000).map(number).collect();
        let ids = ids(&all);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), all.len());
        let short = ids.iter().filter(|id| id.len() == READABLE + 1 + DIGITS);
        assert!(short.count() > 4_000);
    }

    #[test]
    fn variant_without_parameters_has_an_id() {
        let ids = ids(&[Parameters::new()]);
        assert_eq!(ids[0].len(), DIGITS);
    }
}
