//! Owns Python files of a project. Each has tests, or none, or is broken at a position in the file.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use persea_fuzz::{assert_within, characters};
use persea_plugin_sdk::testing::{Files, Host};
use persea_plugin_sdk::{Finding, ResolveRequest, Resolver as _};
use persea_resolver_python_unittest::PythonUnittest;

fuzz_target!(|bytes: &[u8]| {
    let _host = Host::new()
        .files(Files::new().file("t.py", bytes))
        .install();
    let answer = PythonUnittest::resolve(&ResolveRequest::new("t.py"));
    match answer.expect("a readable file has an answer").finding {
        Finding::Found(runnables) => {
            assert!(!runnables.is_empty());
            let mut seen = BTreeSet::new();
            for runnable in &runnables {
                let uri = runnable.uri.as_deref().expect("a test has a uri");
                let name = uri.strip_prefix("t.py:").expect("the test is in this file");
                let (class, method) = name.rsplit_once('.').expect("the test is a method");
                assert!(!class.is_empty() && method.starts_with("test"), "{uri}");
                assert!(seen.insert(uri), "{uri} is found twice");
            }
        }
        Finding::NotFound(why) => assert!(why.contains("t.py"), "{why}"),
        Finding::Corrupt(why) => {
            let place = why
                .strip_prefix("t.py:")
                .expect("the position is in this file");
            let mut numbers = place.splitn(3, ':').map(str::parse::<usize>);
            let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else {
                panic!("{why} has no position");
            };
            assert_within(&String::from_utf8_lossy(bytes), line, column, characters);
        }
    }
});
