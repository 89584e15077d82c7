//! A varianter that chooses few of all combinations, but tests every pair of values of two axes in
//! one of them. Many bugs need no more than two values to show.
use std::collections::{BTreeMap, BTreeSet};

use persea_plugin_sdk::prelude::*;

struct Pairwise;

impl Plugin for Pairwise {
    fn describe() -> Description {
        Description::new("pairwise", "tests every pair of values of two axes")
            .role(Role::varianter())
    }
}

impl Varianter for Pairwise {
    fn vary(request: &VaryRequest) -> Result<Vec<Variation>, Error> {
        let invalid = |message: &str| Error::new("invalid", message);
        if let Some((other, _)) = request.parameters.iter().find(|(name, _)| *name != "axes") {
            return Err(invalid(&format!(
                "unknown parameter `{other}`; this varianter takes `axes`"
            )));
        }
        let text = request.parameters.json("axes");
        // The host refuses values that a test cannot be given.
        let axes: BTreeMap<String, Vec<serde_json::Value>> = text
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| invalid("`axes` must be a table of lists of values"))?;
        let sizes: Vec<usize> = axes.values().map(Vec::len).collect();
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(invalid(
                "`axes` needs at least one axis, and each axis a value",
            ));
        }
        let variation = |row: Vec<usize>| {
            let chosen = axes.iter().zip(row);
            chosen
                .map(|((name, values), index)| (name, value(&values[index])))
                .collect()
        };
        Ok(cover(&sizes).into_iter().map(variation).collect())
    }
}

/// A value of one axis together with a value of another, each as (axis, index of the value).
type Pair = [(usize, usize); 2];

/// Chooses rows, each with the index of one value on each axis, so that every pair is in a row.
///
/// Each row begins with the first missing pair. Every other axis then gets the value that adds the
/// most missing pairs, the first of several. So the same axes always give the same rows.
fn cover(sizes: &[usize]) -> Vec<Vec<usize>> {
    if let [only] = sizes {
        return (0..*only).map(|index| vec![index]).collect();
    }
    let mut missing = pairs(sizes);
    let mut rows = Vec::new();
    while let Some(first) = missing.first().copied() {
        let mut row: Vec<Option<usize>> = vec![None; sizes.len()];
        for (axis, index) in first {
            row[axis] = Some(index);
        }
        for axis in 0..sizes.len() {
            if row[axis].is_none() {
                let new = |index: &usize| {
                    others(&row)
                        .filter(|other| missing.contains(&pair(*other, (axis, *index))))
                        .count()
                };
                // `max_by_key` returns the last maximum: reversed, that is the first value.
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
    let values = |axis: usize| (0..sizes[axis]).map(move |index| (axis, index));
    let mut all = BTreeSet::new();
    for axis in 0..sizes.len() {
        for other in axis + 1..sizes.len() {
            all.extend(values(axis).flat_map(|one| values(other).map(move |two| [one, two])));
        }
    }
    all
}

/// Orders two values by their axes.
fn pair(one: (usize, usize), other: (usize, usize)) -> Pair {
    [one.min(other), one.max(other)]
}

/// The values that are already in a row.
fn others(row: &[Option<usize>]) -> impl Iterator<Item = (usize, usize)> {
    let indices = row.iter().enumerate();
    indices.filter_map(|(axis, index)| Some((axis, (*index)?)))
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

export!(Pairwise: varianter);

#[cfg(test)]
mod tests;
