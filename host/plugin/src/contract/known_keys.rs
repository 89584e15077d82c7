//! Owns the names in `more` that the host understands in what a plugin says about itself and in its
//! answers. Does not know what they mean.

use crate::contract::world::Role;

/// A record of a plugin's answer, with the names in its `more` that the host understands.
pub(crate) struct AnswerRecord {
    /// The record, for messages: "a variation".
    pub(crate) what: &'static str,
    pub(crate) names: &'static [&'static str],
}

/// Defines the records of answers, and [`RECORDS`] with the name of each in the contract.
macro_rules! records {
    ($($name:ident: $record:literal, $what:literal, $names:expr;)*) => {
        $(pub(crate) static $name: AnswerRecord = AnswerRecord { what: $what, names: &$names };)*

        /// The records with the names that they have in the contract.
        #[cfg(test)]
        static RECORDS: &[(&str, &AnswerRecord)] = &[$(($record, &$name)),*];
    };
}

records! {
    DONE: "done", "an answer", [];
    RUNNABLE: "runnable", "a runnable",
        [
            "variant", "config", "timeout", "retries", "cwd", "spawner", "image", "limits", "needs",
            "after", "mutexes", "resources",
        ];
    REQUIREMENT: "requirement", "a requirement", ["scope", "label"];
    VARIATION: "variation", "a variation", ["requirements", "resources", "timeout"];
    VARIATIONS: "variations", "variations", [];
    RESOLUTION: "resolution", "a resolution", ["depends-on"];
    LISTING: "listing", "a listing", ["depends-on"];
    TASK_START: "task-start", "a task that starts", ["instances"];
    CHOICE: "choice", "a choice", [];
    CHECKED_REQUIREMENT: "checked-requirement", "a checked requirement", ["reason"];
    FULFILLED_REQUIREMENT: "fulfilled-requirement", "a fulfilled requirement", ["env"];
}

/// The names in `description.more`.
pub(crate) const OF_DESCRIPTION: &[&str] = &["contract"];

/// The names in `setting.more`.
pub(crate) const OF_SETTING: &[&str] = &["choices", "least", "most", "secret"];

/// Returns the names in the `role.more` of a role.
pub(crate) const fn of_role(role: Role) -> &'static [&'static str] {
    match role {
        Role::Resolver => &["order"],
        Role::RequirementResolver => &["one-at-a-time", "unique-by", "network", "on-leases"],
        Role::ResultFormat => &["file", "enabled", "streams", "events"],
        Role::Varianter
        | Role::Scheduler
        | Role::Runner
        | Role::ProgramRunner
        | Role::BatchRunner
        | Role::Lister => &[],
    }
}

/// The most letters that may be wrong in a name for which another one is proposed.
const MOST_WRONG: usize = 2;

/// Returns the known name that is most like another one, if one is.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let all = known.iter().map(|known| (distance(name, known), *known));
    let (distance, known) = all.min_by_key(|(distance, _)| *distance)?;
    (distance <= MOST_WRONG && distance < known.len()).then_some(known)
}

/// The number of letters to insert, remove or replace to make one name of another (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(to.chars()) {
            let above = *cell;
            let replaced = diagonal + usize::from(letter != other);
            left = replaced.min(above + 1).min(left + 1);
            (diagonal, *cell) = (above, left);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The names in the list that follows a line of the contract's comments.
    fn listed(wit: &str, start: &str) -> Vec<String> {
        let lines = wit.lines().map(str::trim);
        let mut comment = lines.skip_while(|line| !line.ends_with(start)).skip(1);
        let mut names = Vec::new();
        for line in comment.by_ref().take_while(|line| line.starts_with("///")) {
            if let Some(item) = line.strip_prefix("/// * ") {
                let (names_of_item, _) = item.split_once(" (").unwrap();
                names.extend(
                    names_of_item
                        .split(" and ")
                        .map(|name| name.trim_matches('`').to_owned()),
                );
            }
        }
        names
    }

    #[test]
    fn contract_lists_the_known_names() {
        let worlds = include_str!("../../../../wit/0.2/worlds.wit");
        for role in Role::ALL {
            let (before, _) = worlds
                .split_once(&format!("\nworld {} {{", role.name()))
                .unwrap();
            let (_, comment) = before.rsplit_once("\n\n").unwrap();
            let names = listed(comment, "understands in `role.more`:");
            assert_eq!(names, of_role(role), "{}", role.name());
        }
        let types = include_str!("../../../../wit/0.2/types.wit");
        let record = |name: &str| {
            let (_, rest) = types.split_once(&format!("  record {name} {{")).unwrap();
            let (body, _) = rest.split_once("\n  }").unwrap();
            listed(body, "Further data. The host understands:")
        };
        assert_eq!(record("description"), OF_DESCRIPTION);
        assert_eq!(record("setting"), OF_SETTING);
    }

    #[test]
    fn contract_lists_the_known_names_of_answers() {
        let wit = [
            include_str!("../../../../wit/0.2/types.wit"),
            include_str!("../../../../wit/0.2/worlds.wit"),
        ]
        .concat();
        for (name, record) in RECORDS {
            let (_, rest) = wit.split_once(&format!("  record {name} {{")).unwrap();
            let (body, _) = rest.split_once("\n  }").unwrap();
            let (_, more) = body.rsplit_once("/// Further data").unwrap();
            let (_, after_first_line) = more.split_once('\n').unwrap();
            let list = format!("/// list:\n{after_first_line}");
            assert_eq!(listed(&list, "list:"), record.names, "{name}");
        }
    }

    #[test]
    fn nearest_name_is_proposed_if_it_is_near() {
        let known = ["file", "streams", "events"];
        assert_eq!(nearest("event", &known), Some("events"));
        assert_eq!(nearest("stream", &known), Some("streams"));
        assert_eq!(nearest("flie", &known), Some("file"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
