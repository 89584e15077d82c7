//! Owns the language of filters. Any text is a filter that can be applied, or an error at a place
//! in the text; a filter and its negation never agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea_filter::{Filter, LastResult, TestFacts};
use persea_model::{Runnable, Status};

fuzz_target!(|text: &str| {
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "{error}");
            return;
        }
    };
    let negated = Filter::parse(&format!("!({text})"));
    let runnable = Runnable {
        kind: "tap".to_owned(),
        tags: vec![("arch".to_owned(), vec!["arm".to_owned()])],
        ..Runnable::default()
    };
    let cases = ["a > b".to_owned()];
    let last = LastResult {
        status: Status::Fail,
        cases: &cases,
    };
    for last in [None, Some(last)] {
        let test = TestFacts {
            name: "t/a.t",
            title: "suite:t/a.t",
            runnable: &runnable,
            last,
        };
        let matches = filter.matches(&test);
        if let Ok(negated) = &negated {
            assert_ne!(matches, negated.matches(&test));
        }
    }
});
