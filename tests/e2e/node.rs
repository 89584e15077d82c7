//! Owns the kind `node-test`: the tests of a file have the results that Node gives them, and every
//! fault of Node or of a file is an error of its own.

mod faults;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::results::{assert_equal, cases, reason_of};
use crate::support::{Fixture, finish};

const ALL: &str = r#"
import test, { before, describe, it } from 'node:test';
import assert from 'node:assert';
import { fork } from 'node:child_process';
test('passes', () => { console.log('{"type":"fail"}'); });
test('fails', () => { assert.strictEqual(1, 2, 'numbers'); });
test('compares', () => { assert.deepStrictEqual({ a: 1 }, { a: 2 }); });
test('skipped', { skip: 'no disk' }, () => { throw new Error('never run'); });
test('skips itself', (t) => { t.skip(); });
test('todo that fails', { todo: 'soon' }, () => { throw new Error('not yet'); });
test('todo that passes', { todo: true }, () => {});
test('parent', async (t) => {
    await t.test('child', async (t) => {
        await t.test('deep', () => { throw new TypeError('too deep'); });
    });
    await t.test('other child', () => {});
});
describe('suite', () => {
    it('one', () => {});
    it('two', async () => { await null; throw 'a text'; });
    it.skip('three', () => {});
    it.todo('four');
});
describe('hooks', () => {
    before(() => { throw new Error('no hook'); });
    it('is not run', () => {});
});
describe('side by side', { concurrency: true }, () => {
    for (const name of ['x', 'y']) {
        it(name, async (t) => { await t.test(`in ${name}`, () => {}); });
    }
});
test('throws later', () => {
    setTimeout(() => { throw new Error('late'); }, 1);
    return new Promise((resolve) => setTimeout(resolve, 50));
});
test('is too slow', { timeout: 10 }, () => new Promise((resolve) => setTimeout(resolve, 200)));
test('starts a child', async () => {
    const child = fork(new URL('./child.mjs', import.meta.url));
    child.send('hello');
    const answer = await new Promise((resolve) => child.on('message', resolve));
    assert.strictEqual(answer, 'got hello');
});
"#;

const CHILD: &str = r#"
process.on('message', (message) => {
    process.send(`got ${message}`);
    process.disconnect();
});
"#;

fn project() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("t/all.test.mjs", ALL);
    fixture.file("t/child.mjs", CHILD);
    fixture
}

/// The results in the TAP that Node itself prints, by the path of a case.
fn of_node(fixture: &Fixture, file: &str) -> BTreeMap<String, String> {
    let mut node = Command::new("node");
    node.args(["--test-reporter=tap", file]);
    let ran = finish(fixture.equip(&mut node).spawn().unwrap());
    let (mut results, mut open) = (BTreeMap::new(), Vec::new());
    for line in ran.stdout.lines() {
        let rest = line.trim_start();
        let level = (line.len() - rest.len()) / 4;
        if let Some(name) = rest.strip_prefix("# Subtest: ") {
            open.truncate(level);
            open.push(name.to_owned());
            continue;
        }
        let (is_ok, rest) = match rest.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => match rest.strip_prefix("ok ") {
                Some(rest) => (true, rest),
                None => continue,
            },
        };
        let Some((_, name)) = rest.split_once(" - ") else {
            continue;
        };
        let status = match (is_ok, name.contains(" # SKIP"), name.contains(" # TODO")) {
            (true, true, _) | (true, _, true) => "SKIP",
            (true, ..) | (false, _, true) => "PASS",
            (false, ..) => "FAIL",
        };
        open.truncate(level + 1);
        results.insert(open.join(">"), status.to_owned());
    }
    assert!(results.len() > 20, "{ran}");
    results
}

#[test]
fn file_has_the_results_of_node() {
    let fixture = project();
    fixture.run(&["run", "t/all.test.mjs"]).code(1);
    let found = cases(&fixture);
    assert_eq!(found, of_node(&fixture, "t/all.test.mjs"));
    for (name, status) in [
        ("parent>child>deep", "FAIL"),
        ("suite>three", "SKIP"),
        ("suite>four", "SKIP"),
        ("todo that fails", "PASS"),
        ("side by side>x>in x", "PASS"),
        ("side by side>y>in y", "PASS"),
    ] {
        assert_eq!(found[name], status, "{name}");
    }
    for (name, reason) in [
        ("fails", "all.test.mjs:6: numbers; 1 !== 2"),
        ("skipped", "no disk"),
        ("skips itself", "skipped"),
        (
            "todo that fails",
            "failed, as expected: all.test.mjs:10: not yet",
        ),
        ("todo that passes", "todo"),
        ("deep", "all.test.mjs:14: too deep"),
        ("child", "1 subtest failed"),
        ("two", "a text"),
        ("throws later", "all.test.mjs:34: late"),
        ("is too slow", "test timed out after 10ms"),
    ] {
        assert_eq!(reason_of(&fixture, name), reason, "{name}");
    }
    let job = fixture.job();
    let reason = job.reason("t/all.test.mjs");
    // Neither suites nor tests whose subtests failed count.
    let expected = "8 failed (fails, compares, parent > child > deep and 5 more)";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(
        job.artifact("t/all.test.mjs", "stdout")
            .contains("{\"type\":\"fail\"}\n")
    );
    let events = job.events_of("case-finished");
    let failed = events
        .iter()
        .find(|it| it["data"]["path"][0] == "fails")
        .unwrap();
    let data = &failed["data"];
    assert_eq!(data["line"], 6);
    assert!(
        data["file"].as_str().unwrap().ends_with("t/all.test.mjs"),
        "{data}"
    );
    assert!(
        data["traceback"]
            .as_str()
            .unwrap()
            .starts_with("AssertionError"),
        "{data}"
    );
}

#[test]
fn directory_run_takes_executable_files_before_exec_test() {
    let fixture = Fixture::new();
    let text = "#!/usr/bin/env node\nrequire('node:test')('a', () => {});\n";
    let file = fixture.file("t/run.test.cjs", text);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.file("t/test/any.js", text);
    fixture.file("t/jest.test.js", "test('x', () => {});\n");
    fixture.script("t/plain.sh", "exit 0");
    let listed = fixture.run(&["list", "t"]).code(0);
    let expected = "exec-test t/plain.sh\nnode-test t/run.test.cjs\nnode-test t/test/any.js\n";
    assert_eq!(listed.stdout, expected);
    fixture.run(&["run", "t/run.test.cjs"]).code(0);
    assert_equal(&cases(&fixture), &[("a", "PASS")]);
}

#[test]
fn options_and_arguments_reach_node() {
    let fixture = Fixture::new();
    let text = "import test from 'node:test';\n\
                test('one', { only: true }, () => {\n  \
                if (!globalThis.ready) throw new Error('no');\n});\n\
                test('two', () => {});\n";
    fixture.file("plain.mjs", text);
    fixture.file("ready.mjs", "globalThis.ready = true;\n");
    fixture.run(&["run", "node:plain.mjs?name=two"]).code(0);
    assert_eq!(cases(&fixture)["two"], "PASS");
    assert_ne!(cases(&fixture).get("one").map(String::as_str), Some("FAIL"));
    fixture
        .run(&["run", "node:plain.mjs?only&import=./ready.mjs"])
        .code(0);
    assert_eq!(cases(&fixture)["one"], "PASS");
    let recipe = json!({"kind": "node-test", "uri": "plain.mjs", "args": ["--import=./ready.mjs"]});
    fixture.recipe("job.json", &[recipe]);
    fixture.run(&["run", "job.json"]).code(0);
    assert_equal(&cases(&fixture), &[("one", "PASS"), ("two", "PASS")]);
}

#[test]
fn hanging_test_is_named() {
    let fixture = Fixture::new();
    let text = "import test from 'node:test';\n\
                test('first', () => {});\n\
                test('outer', async (t) => {\n  \
                await t.test('hangs', () => new Promise((end) => setTimeout(end, 1e6)));\n});\n";
    fixture.file("t.test.mjs", text);
    fixture
        .run(&["run", "--task-timeout", "5", "t.test.mjs"])
        .code(8);
    let reason = fixture.job().reason("t.test.mjs");
    assert!(reason.contains("in case outer > hangs"), "{reason}");
    fixture.assert_no_strays();
}

#[test]
fn file_that_ends_early_is_never_green() {
    let head = "import test from 'node:test';\ntest('a', () => {});\n";
    let later = |call: &str| {
        format!("test('b', () => new Promise(() => setTimeout(() => process.{call}, 50)));")
    };
    for (name, text, status, words) in [
        (
            "throws",
            format!("{head}throw new RangeError('at top level');"),
            "FAIL",
            "before its first test: RangeError: at top level",
        ),
        (
            "broken",
            format!("{head}import {{"),
            "FAIL",
            "before its first test: SyntaxError: ",
        ),
        (
            "missing",
            format!("{head}import 'nothing-of-this-name';"),
            "FAIL",
            "before its first test: Error [ERR_MODULE_NOT_FOUND]: Cannot find package",
        ),
        (
            "exits",
            format!("{head}test('b', () => process.exit(0));"),
            "ERROR",
            "does the file call process.exit?",
        ),
        (
            "exits-late",
            format!("{head}{}", later("exit(0)")),
            "ERROR",
            "1 in error (b), 1 others, the process exited with code 0 before all tests had ended",
        ),
        (
            "exits-badly",
            format!("{head}test('b', () => process.exit(3));"),
            "FAIL",
            "exited with code 3 before its first test",
        ),
        (
            "aborts",
            format!("{head}{}", later("abort()")),
            "FAIL",
            "1 failed (b), 1 others, the process ended by signal 6 (SIGABRT) before all tests",
        ),
        (
            "late",
            format!("{head}process.on('exit', () => {{ process.exitCode = 5; }});"),
            "FAIL",
            "the process exited with code 5, although no test failed",
        ),
        (
            "empty",
            "import 'node:test';".to_owned(),
            "SKIP",
            "has no tests of node:test",
        ),
    ] {
        let fixture = Fixture::new();
        let file = format!("{name}.test.mjs");
        fixture.file(&file, text);
        fixture
            .run(&["run", &file])
            .code(i32::from(status != "SKIP"));
        let (found, reason) = (fixture.job().status(&file), fixture.job().reason(&file));
        assert_eq!(found, status, "{name}: {reason}");
        assert!(reason.contains(words), "{name}: {reason}");
        fixture.assert_no_strays();
    }
}
