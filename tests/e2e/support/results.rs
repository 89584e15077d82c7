//! Owns the comparison of the statuses of a job's tests and cases with those that are expected.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Fixture;

/// The statuses of all cases, by their names. Each case has one result.
pub fn cases(fixture: &Fixture) -> BTreeMap<String, String> {
    let events = fixture.job().events_of("case-finished");
    let case = |event: &Value| {
        let path = event["data"]["path"].as_array().unwrap().iter();
        let names: Vec<&str> = path.map(|name| name.as_str().unwrap()).collect();
        let status = event["data"]["status"].as_str().unwrap().to_owned();
        (names.join(">"), status)
    };
    let all: BTreeMap<String, String> = events.iter().map(case).collect();
    assert_eq!(all.len(), events.len(), "each case has one result");
    all
}

/// The statuses of the latest job's tests, by name.
pub fn statuses(fixture: &Fixture) -> BTreeMap<String, String> {
    fixture.job().statuses()
}

#[track_caller]
pub fn assert_equal(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let owned = |(name, status): &(&str, &str)| ((*name).to_owned(), (*status).to_owned());
    let expected: BTreeMap<String, String> = expected.iter().map(owned).collect();
    assert_eq!(*found, expected);
}

/// The reason of a case.
pub fn reason_of(fixture: &Fixture, name: &str) -> String {
    let events = fixture.job().events_of("case-finished");
    let is_it = |event: &&Value| event["data"]["path"].as_array().unwrap().last().unwrap() == name;
    let event = events.iter().find(is_it).unwrap();
    event["data"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
