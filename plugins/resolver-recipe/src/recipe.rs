//! Recipes: JSON files that say what is to be run. One runnable is an object, several are a list of them. The format is
//! Avocado's (`runnable-recipe.schema.json`): members `kind` (required), `uri`, `args`, `kwargs`, `config` and
//! `identifier`, and inside `kwargs` the names `tags`, `dependencies`, `variant`, `output_dir` and `assets` with a
//! meaning of their own. Members that Avocado has not: `needs`, `after`, `mutexes` and `resources`, which say when a task
//! may run. Knows nothing of files.

use crate::shape::{self, Members, Place};
use persea_plugin_sdk::prelude::*;
use serde_json::value::RawValue;

/// What a recipe may say of a runnable.
const MEMBERS: [&str; 10] = [
    "kind",
    "uri",
    "args",
    "kwargs",
    "config",
    "identifier",
    "needs",
    "after",
    "mutexes",
    "resources",
];

/// How Python's sets are written, where a setting is one.
const SET: &str = "__encoded_set__";

/// What became of a file's text.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    /// A recipe, and what it says.
    Recipe(Vec<Runnable>),
    /// JSON that means something else, and why.
    Other(String),
    /// A recipe with a mistake in it.
    Mistake(String),
    /// No JSON.
    Broken {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What is wrong there.
        why: String,
    },
}

/// Reads a file's text.
pub(crate) fn read(text: &str) -> Reading {
    let top: &RawValue = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(top) => top,
        Err(error) => {
            // The parser has it from 0 where a line has ended before its first byte.
            let (line, column) = (error.line(), error.column().max(1));
            let why = error.to_string();
            let why = why
                .rsplit_once(" at line ")
                .map_or(why.as_str(), |(why, _)| why)
                .to_owned();
            return Reading::Broken { line, column, why };
        }
    };
    if shape::is_object(top) {
        return match runnable(top, &Place::Top) {
            Ok(runnable) => Reading::Recipe(vec![runnable]),
            Err(why) if looks_like_recipe(top) => Reading::Mistake(why),
            Err(why) => Reading::Other(why),
        };
    }
    if !shape::is_list(top) {
        return Reading::Other("a recipe is an object or a list of objects".to_owned());
    }
    let items = match shape::list(top, &Place::Top) {
        Ok(items) => items,
        Err(why) => return Reading::Mistake(why),
    };
    let read =
        |(index, item): (usize, &&RawValue)| runnable(item, &Place::Item(&Place::Top, index));
    match items.iter().enumerate().map(read).collect() {
        Ok(runnables) => Reading::Recipe(runnables),
        Err(why) if items.iter().any(|item| looks_like_recipe(item)) => Reading::Mistake(why),
        Err(why) => Reading::Other(why),
    }
}

/// Whether a value is meant to be a recipe, right or wrong. Many JSON files are objects, and some have a `kind`: a
/// project's package.json, a cluster's manifests.
fn looks_like_recipe(value: &RawValue) -> bool {
    let Ok(members) = shape::object(value, &Place::Top) else {
        return false;
    };
    let known = members
        .0
        .iter()
        .filter(|(name, _)| MEMBERS.contains(&name.as_ref()))
        .count();
    let unknown = members.0.len() - known;
    match members.get("kind") {
        Some(_) => known > 1 || unknown == 0,
        None => known > 0 && unknown == 0,
    }
}

fn runnable(value: &RawValue, place: &Place<'_>) -> Result<Runnable, String> {
    let members = shape::object(value, place)?;
    let Some(kind) = members.get("kind") else {
        return Err(place.say("Missing required property \"kind\""));
    };
    let mut runnable = Runnable::new(shape::text(kind, &Place::Member(place, "kind"))?);
    for (name, value) in &members.0 {
        let place = Place::Member(place, name);
        match name.as_ref() {
            "kind" => {}
            "uri" => runnable.uri = optional_text(value, &place)?,
            "args" => runnable.args = shape::texts(value, &place)?,
            "kwargs" => kwargs(&mut runnable, value, &place)?,
            "config" => runnable.more.insert("config", config(value, &place)?),
            "identifier" => runnable.identifier = optional_text(value, &place)?,
            "needs" | "after" | "mutexes" => {
                shape::texts(value, &place)?;
                let names = Value::Json(value.get().to_owned());
                runnable.more.insert(name.as_ref(), names);
            }
            "resources" => {
                for (resource, amount) in shape::object(value, &place)?.0 {
                    shape::amount(amount, &Place::Member(&place, &resource))?;
                }
                let amounts = Value::Json(value.get().to_owned());
                runnable.more.insert("resources", amounts);
            }
            _ => return Err(place.say("Additional properties are not allowed")),
        }
    }
    if runnable.kind.is_empty() {
        return Err(
            Place::Member(place, "kind").say("expected the name of a kind, found an empty string")
        );
    }
    Ok(runnable)
}

/// A string, or null for none at all.
fn optional_text(value: &RawValue, place: &Place<'_>) -> Result<Option<String>, String> {
    if shape::is_null(value) {
        Ok(None)
    } else {
        shape::text(value, place).map(Some)
    }
}

fn kwargs(runnable: &mut Runnable, value: &RawValue, place: &Place<'_>) -> Result<(), String> {
    for (name, value) in shape::object(value, place)?.0 {
        let place = Place::Member(place, &name);
        match name.as_ref() {
            "tags" if shape::is_null(value) => {}
            "tags" => runnable.tags = tags(value, &place)?,
            "dependencies" if shape::is_null(value) => {}
            "dependencies" => runnable.requirements = dependencies(value, &place)?,
            "variant" if shape::is_null(value) => {}
            "variant" => {
                shape::object(value, &place)?;
                runnable.more.insert("variant", shape::json(value, &place)?);
            }
            // Where results go, and what is copied where a test runs, is for the host to say: never for a recipe that
            // an earlier job has written down.
            "output_dir" | "assets" => {}
            _ => runnable
                .kwargs
                .insert(name.as_ref(), shape::open(value, &place)?),
        }
    }
    Ok(())
}

/// Tags by name: null for a flat tag, or its values.
fn tags(value: &RawValue, place: &Place<'_>) -> Result<Vec<(String, Vec<String>)>, String> {
    let tag = |(name, value): (std::borrow::Cow<'_, str>, &RawValue)| {
        let place = Place::Member(place, &name);
        let values = if shape::is_null(value) {
            Vec::new()
        } else if let Some(set) = shape::object(value, &place)
            .ok()
            .and_then(|object| object.get(SET))
        {
            shape::texts(set, &place)?
        } else {
            shape::texts(value, &place)?
        };
        Ok((name.to_string(), values))
    };
    shape::object(value, place)?
        .0
        .into_iter()
        .map(tag)
        .collect()
}

/// What must be there first: `type`, `uri` and `args` are named, the rest are keyword arguments.
fn dependencies(value: &RawValue, place: &Place<'_>) -> Result<Vec<Requirement>, String> {
    let dependency = |(index, value): (usize, &RawValue)| {
        let place = Place::Item(place, index);
        let members: Members<'_> = shape::object(value, &place)?;
        let Some(kind) = members.get("type") else {
            return Err(place.say("Missing required property \"type\""));
        };
        let mut requirement = Requirement::new(shape::text(kind, &Place::Member(&place, "type"))?);
        for (name, value) in &members.0 {
            let place = Place::Member(&place, name);
            match name.as_ref() {
                "type" => {}
                "uri" => requirement.uri = optional_text(value, &place)?,
                "args" => requirement.args = shape::texts(value, &place)?,
                _ => requirement
                    .kwargs
                    .insert(name.as_ref(), shape::open(value, &place)?),
            }
        }
        Ok(requirement)
    };
    shape::list(value, place)?
        .into_iter()
        .enumerate()
        .map(dependency)
        .collect()
}

/// Settings for this runnable alone, as JSON; Python's sets become lists.
fn config(value: &RawValue, place: &Place<'_>) -> Result<Value, String> {
    let members = shape::object(value, place)?;
    let whole = shape::json(value, place)?;
    if !value.get().contains(SET) {
        return Ok(whole);
    }
    let mut plain = serde_json::Map::new();
    for (name, value) in members.0 {
        let place = Place::Member(place, &name);
        let set = shape::object(value, &place)
            .ok()
            .and_then(|object| object.get(SET));
        let value =
            serde_json::from_str(set.unwrap_or(value).get()).map_err(|error| place.say(error))?;
        plain.insert(name.into_owned(), value);
    }
    Ok(Value::Json(serde_json::Value::Object(plain).to_string()))
}

#[cfg(test)]
mod tests;
