//! Owns the format of recipes: a runnable is a JSON object, several runnables are a list of
//! objects. Does not know about files.
//!
//! The format is Avocado's (`runnable-recipe.schema.json`): members `kind` (required), `uri`,
//! `args`, `kwargs`, `config` and `identifier`; in `kwargs`, the names `tags`, `dependencies`,
//! `variant`, `output_dir` and `assets` are special. The other members are those of a task in a job
//! file; Avocado does not have them.

use crate::shape::{self, JsonPath, Members, Stop};
use persea_plugin_sdk::pages::RunnablePages;
use persea_plugin_sdk::prelude::*;
use serde_json::value::RawValue;

/// Members of a runnable.
const MEMBERS: [&str; 19] = [
    "kind",
    "uri",
    "args",
    "kwargs",
    "config",
    "identifier",
    "env",
    "tags",
    "requirements",
    "needs",
    "after",
    "mutexes",
    "resources",
    "timeout",
    "retries",
    "cwd",
    "spawner",
    "image",
    "limits",
];

/// Member by which Avocado encodes a Python set: `{"__encoded_set__": [1, 2]}`.
const SET: &str = "__encoded_set__";

/// Result of reading a file's text.
#[derive(Debug, PartialEq)]
pub(crate) enum ReadOutcome {
    /// A recipe, with the runnables of the last page; the earlier pages have been added.
    Recipe(Vec<Runnable>),
    /// JSON that is not a recipe, with the reason.
    OtherJson(String),
    /// A recipe with a mistake, and what is wrong.
    Invalid(String),
    /// Not JSON.
    NotJson {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error in bytes, from 1.
        column: usize,
        /// What is wrong there.
        why: String,
    },
}

/// Why a list of runnables was not read to its end.
enum Mistake {
    /// An item is no runnable.
    Item(String),
    /// A page could not be added.
    Page(Error),
}

/// Reads the text of a file, and adds the runnables of a long recipe page by page.
///
/// # Errors
/// Those of adding a page.
pub(crate) fn read(text: &str, mut pages: RunnablePages) -> Result<ReadOutcome, Error> {
    let top: &RawValue = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(top) => top,
        Err(error) => {
            // serde_json reports column 0 for an error before the first byte of a line.
            let (line, column) = (error.line(), error.column().max(1));
            let why = error.to_string();
            let why = why
                .rsplit_once(" at line ")
                .map_or(why.as_str(), |(why, _)| why)
                .to_owned();
            return Ok(ReadOutcome::NotJson { line, column, why });
        }
    };
    if shape::is_object(top) {
        return Ok(match runnable(top, &JsonPath::Top) {
            Ok(runnable) => ReadOutcome::Recipe(vec![runnable]),
            Err(why) if looks_like_recipe(top) => ReadOutcome::Invalid(why),
            Err(why) => ReadOutcome::OtherJson(why),
        });
    }
    if !shape::is_list(top) {
        let why = "a recipe is an object or a list of objects";
        return Ok(ReadOutcome::OtherJson(why.to_owned()));
    }
    let read = shape::each(top, &JsonPath::Top, |index, item| {
        let path = JsonPath::Item(&JsonPath::Top, index);
        let runnable = runnable(item, &path).map_err(Mistake::Item)?;
        pages.push(runnable).map_err(Mistake::Page)
    });
    match read {
        Ok(()) => Ok(ReadOutcome::Recipe(pages.finish())),
        Err(Stop::Failed(Mistake::Page(error))) => Err(error),
        Err(Stop::Failed(Mistake::Item(why)) | Stop::Unreadable(why)) => {
            Ok(match has_recipe(top) {
                true => ReadOutcome::Invalid(why),
                false => ReadOutcome::OtherJson(why),
            })
        }
    }
}

/// Whether an item of a list is meant to be a recipe.
fn has_recipe(list: &RawValue) -> bool {
    let is_recipe = |_, item: &RawValue| match looks_like_recipe(item) {
        true => Err(()),
        false => Ok(()),
    };
    matches!(
        shape::each(list, &JsonPath::Top, is_recipe),
        Err(Stop::Failed(()))
    )
}

/// Whether a value is meant to be a recipe, valid or not. Many JSON files are objects, such as a
/// package.json, and some have a `kind`, such as a cluster's manifests.
fn looks_like_recipe(value: &RawValue) -> bool {
    let Ok(members) = shape::object(value, &JsonPath::Top) else {
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

fn runnable(value: &RawValue, path: &JsonPath<'_>) -> Result<Runnable, String> {
    let members = shape::object(value, path)?;
    let Some(kind) = members.get("kind") else {
        return Err(path.message("Missing required property \"kind\""));
    };
    let mut runnable = Runnable::new(shape::text(kind, &JsonPath::Member(path, "kind"))?);
    for (name, value) in &members.0 {
        let path = JsonPath::Member(path, name);
        match name.as_ref() {
            "kind" => {}
            "uri" => runnable.uri = optional_text(value, &path)?,
            "args" => runnable.args = shape::texts(value, &path)?,
            "kwargs" => kwargs(&mut runnable, value, &path)?,
            "config" => runnable.more.insert("config", config(value, &path)?),
            "identifier" => runnable.identifier = optional_text(value, &path)?,
            "needs" | "after" | "mutexes" => {
                shape::texts(value, &path)?;
                let names = Value::Json(value.get().to_owned());
                runnable.more.insert(name.as_ref(), names);
            }
            "timeout" if shape::is_null(value) => {}
            "timeout" => match shape::nanoseconds(value, &path)? {
                0 => {}
                limit => runnable.more.insert("timeout", limit),
            },
            "env" => runnable.env = variables(value, &path)?,
            "tags" => runnable.tags.extend(tags(value, &path)?),
            "requirements" => runnable.requirements.extend(dependencies(value, &path)?),
            // The host knows the causes of retries.
            "retries" if shape::is_null(value) => {}
            "retries" => runnable.more.insert("retries", retries(value, &path)?),
            // The host knows which spawners there are.
            "cwd" | "spawner" | "image" => {
                if let Some(text) = optional_text(value, &path)? {
                    runnable.more.insert(name.as_ref(), text);
                }
            }
            // The host knows which limits there are.
            "limits" => {
                shape::object(value, &path)?;
                runnable.more.insert("limits", shape::json(value, &path)?);
            }
            "resources" => {
                for (resource, claim) in shape::object(value, &path)?.0 {
                    shape::claim(claim, &JsonPath::Member(&path, &resource))?;
                }
                let claims = Value::Json(value.get().to_owned());
                runnable.more.insert("resources", claims);
            }
            _ => return Err(path.message("Additional properties are not allowed")),
        }
    }
    if runnable.kind.is_empty() {
        return Err(JsonPath::Member(path, "kind")
            .message("expected the name of a kind, found an empty string"));
    }
    Ok(runnable)
}

/// Reads how often a runnable is tried again: a number, or an object with `count` and `on`.
fn retries(value: &RawValue, path: &JsonPath<'_>) -> Result<Value, String> {
    if shape::is_object(value) {
        for (name, member) in shape::object(value, path)?.0 {
            let path = JsonPath::Member(path, &name);
            match name.as_ref() {
                "count" => shape::whole(member, &path).map(drop)?,
                "on" => shape::texts(member, &path).map(drop)?,
                _ => return Err(path.message("Additional properties are not allowed")),
            }
        }
        return shape::json(value, path);
    }
    shape::whole(value, path).map(Value::Integer)
}

/// Reads a string, or `None` for null.
fn optional_text(value: &RawValue, path: &JsonPath<'_>) -> Result<Option<String>, String> {
    if shape::is_null(value) {
        Ok(None)
    } else {
        shape::text(value, path).map(Some)
    }
}

fn kwargs(runnable: &mut Runnable, value: &RawValue, path: &JsonPath<'_>) -> Result<(), String> {
    for (name, value) in shape::object(value, path)?.0 {
        let path = JsonPath::Member(path, &name);
        match name.as_ref() {
            "tags" if shape::is_null(value) => {}
            "tags" => runnable.tags.extend(tags(value, &path)?),
            "dependencies" if shape::is_null(value) => {}
            "dependencies" => runnable.requirements.extend(dependencies(value, &path)?),
            "variant" if shape::is_null(value) => {}
            "variant" => {
                shape::object(value, &path)?;
                runnable.more.insert("variant", shape::json(value, &path)?);
            }
            // Avocado writes these into the recipes of a job. They are ignored, because only the
            // host decides where results go and which files a test gets.
            "output_dir" | "assets" => {}
            _ => runnable
                .kwargs
                .insert(name.as_ref(), shape::open(value, &path)?),
        }
    }
    Ok(())
}

/// Reads environment variables: each name has its value, or null to remove the variable.
fn variables(
    value: &RawValue,
    path: &JsonPath<'_>,
) -> Result<Vec<(String, Option<String>)>, String> {
    let variable = |(name, value): (std::borrow::Cow<'_, str>, &RawValue)| {
        let path = JsonPath::Member(path, &name);
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        match is_name {
            true => Ok((name.to_string(), optional_text(value, &path)?)),
            false => Err(path.message("this is no name of an environment variable")),
        }
    };
    let members = shape::object(value, path)?.0.into_iter();
    members.map(variable).collect()
}

/// Reads tags: each name has its values, or null for a tag without values.
fn tags(value: &RawValue, path: &JsonPath<'_>) -> Result<Vec<(String, Vec<String>)>, String> {
    let tag = |(name, value): (std::borrow::Cow<'_, str>, &RawValue)| {
        let path = JsonPath::Member(path, &name);
        let values = if shape::is_null(value) {
            Vec::new()
        } else if let Some(set) = shape::object(value, &path)
            .ok()
            .and_then(|object| object.get(SET))
        {
            shape::texts(set, &path)?
        } else {
            shape::texts(value, &path)?
        };
        Ok((name.to_string(), values))
    };
    shape::object(value, path)?.0.into_iter().map(tag).collect()
}

/// Reads requirements: `type`, `uri` and `args` have their meaning, the host reads `scope` and
/// `label`, and other members are keyword arguments.
fn dependencies(value: &RawValue, path: &JsonPath<'_>) -> Result<Vec<Requirement>, String> {
    let dependency = |(index, value): (usize, &RawValue)| {
        let path = JsonPath::Item(path, index);
        let members: Members<'_> = shape::object(value, &path)?;
        let Some(kind) = members.get("type") else {
            return Err(path.message("Missing required property \"type\""));
        };
        let mut requirement =
            Requirement::new(shape::text(kind, &JsonPath::Member(&path, "type"))?);
        for (name, value) in &members.0 {
            let path = JsonPath::Member(&path, name);
            match name.as_ref() {
                "type" => {}
                "uri" => requirement.uri = optional_text(value, &path)?,
                "args" => requirement.args = shape::texts(value, &path)?,
                "scope" | "label" => {
                    let text = shape::text(value, &path)?;
                    requirement.more.insert(name.as_ref(), text);
                }
                _ => requirement
                    .kwargs
                    .insert(name.as_ref(), shape::open(value, &path)?),
            }
        }
        Ok(requirement)
    };
    shape::list(value, path)?
        .into_iter()
        .enumerate()
        .map(dependency)
        .collect()
}

/// Reads settings for this runnable alone, as JSON. Encoded Python sets become lists.
fn config(value: &RawValue, path: &JsonPath<'_>) -> Result<Value, String> {
    let members = shape::object(value, path)?;
    let whole = shape::json(value, path)?;
    if !value.get().contains(SET) {
        return Ok(whole);
    }
    let mut plain = serde_json::Map::new();
    for (name, value) in members.0 {
        let path = JsonPath::Member(path, &name);
        let set = shape::object(value, &path)
            .ok()
            .and_then(|object| object.get(SET));
        let value = serde_json::from_str(set.unwrap_or(value).get())
            .map_err(|error| path.message(error))?;
        plain.insert(name.into_owned(), value);
    }
    Ok(Value::Json(serde_json::Value::Object(plain).to_string()))
}

#[cfg(test)]
mod tests;
