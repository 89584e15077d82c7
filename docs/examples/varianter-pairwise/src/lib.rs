//! A varianter that takes few of all combinations, but such that any two values of two axes come together in one. Many mistakes need no more
//! than two values to be seen.
use std::collections::{BTreeMap, BTreeSet};

use persea_plugin_sdk::prelude::*;

struct Pairwise;

impl Varianter for Pairwise {
    fn describe() -> Description {
        Description::new("pairwise", "every pair of values of two axes in some variant")
    }

    fn vary(request: &VaryRequest) -> Result<Vec<Variant>, Error> {
        let invalid = |message: &str| Error::new("invalid", message);
        if let Some((other, _)) = request.parameters.iter().find(|(name, _)| *name != "axes") {
            return Err(invalid(&format!("`{other}` means nothing here: `axes` does")));
        }
        let text = request.parameters.json("axes");
        // What is no value that a test can be given is refused by the host.
        let axes: BTreeMap<String, Vec<serde_json::Value>> = text
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| invalid("`axes` is a table of lists of values"))?;
        let sizes: Vec<usize> = axes.values().map(Vec::len).collect();
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(invalid("there is at least one axis, and a value on each"));
        }
        let variant = |row: Vec<usize>| {
            let chosen = axes.iter().zip(row);
            chosen.map(|((name, values), place)| (name, value(&values[place]))).collect()
        };
        Ok(cover(&sizes).into_iter().map(variant).collect())
    }
}

/// A value of one axis together with a value of another, by their places.
type Pair = [(usize, usize); 2];

/// Rows with a place on each axis, such that each pair is in one: as long as there is one that is in no row yet, a row is begun with it, and
/// gets on each other axis the value that brings the most new pairs. So the same axes always make the same rows.
fn cover(sizes: &[usize]) -> Vec<Vec<usize>> {
    if let [only] = sizes {
        return (0..*only).map(|place| vec![place]).collect();
    }
    let mut missing = pairs(sizes);
    let mut rows = Vec::new();
    while let Some(first) = missing.first().copied() {
        let mut row: Vec<Option<usize>> = vec![None; sizes.len()];
        for (axis, place) in first {
            row[axis] = Some(place);
        }
        for axis in 0..sizes.len() {
            if row[axis].is_none() {
                let new = |place: &usize| {
                    let with = others(&row).filter(|other| missing.contains(&pair(*other, (axis, *place))));
                    with.count()
                };
                // Of those that bring the same the first.
                row[axis] = (0..sizes[axis]).rev().max_by_key(new);
            }
        }
        let all: Vec<(usize, usize)> = others(&row).collect();
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                missing.remove(&pair(*one, *other));
            }
        }
        rows.push(row.into_iter().flatten().collect());
    }
    rows
}

fn pairs(sizes: &[usize]) -> BTreeSet<Pair> {
    let values = |axis: usize| (0..sizes[axis]).map(move |place| (axis, place));
    let mut all = BTreeSet::new();
    for axis in 0..sizes.len() {
        for other in axis + 1..sizes.len() {
            all.extend(values(axis).flat_map(|one| values(other).map(move |two| [one, two])));
        }
    }
    all
}

/// The two in the order of their axes.
fn pair(one: (usize, usize), other: (usize, usize)) -> Pair {
    [one.min(other), one.max(other)]
}

/// The values that a row has already.
fn others(row: &[Option<usize>]) -> impl Iterator<Item = (usize, usize)> {
    let places = row.iter().enumerate();
    places.filter_map(|(axis, place)| Some((axis, (*place)?)))
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::String(text) => text.as_str().into(),
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().into(),
        },
        other => Value::json(other.to_string()),
    }
}

export!(varianter: Pairwise);

#[cfg(test)]
mod tests;
