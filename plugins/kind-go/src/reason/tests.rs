//! Tests of panics and of the texts of failures.
#![allow(clippy::unwrap_used)]
use super::*;

const PANIC: &str = "before
panic: boom [recovered]
\tpanic: boom

goroutine 30 [running]:
testing.tRunner.func1.2({0x5784e0, 0x5e5a40})
\t/usr/lib/go-1.19/src/testing/testing.go:1396 +0x24e
panic({0x5784e0, 0x5e5a40})
\t/usr/lib/go-1.19/src/runtime/panic.go:884 +0x212
m/a.TestSubPanic.func1(0xc000097ba0?)
\t/w/a/a_test.go:18 +0x27
testing.tRunner(0xc0000de1a0, 0x5b6bb0)
\t/usr/lib/go-1.19/src/testing/testing.go:1446 +0x10b
created by testing.(*T).Run
\t/usr/lib/go-1.19/src/testing/testing.go:1493 +0x35f
";

fn package() -> Package {
    Package {
        import_path: "m/a".to_owned(),
        directory: "/w/a".to_owned(),
    }
}

/// The reason and the place of a test that ended with this output.
fn described(output: &str) -> (Verdict, String, Option<i64>) {
    let mut result = TestResult::default();
    crash(output, &package()).unwrap().describe(&mut result);
    (result.verdict, result.reason.unwrap(), result.line)
}

#[test]
fn panic_has_its_message_and_its_place() {
    let expected = (
        Verdict::Failed,
        "panic: boom (a_test.go:18)".to_owned(),
        Some(18),
    );
    assert_eq!(described(PANIC), expected);
    let new = PANIC.replace("[recovered]\n\tpanic: boom", "[recovered, repanicked]");
    assert_eq!(described(&new), expected);
    let trimmed = PANIC.replace("/w/a/", "m/a/").replace(" +0x27", "");
    assert_eq!(described(&trimmed), expected);
}

#[test]
fn other_ends_of_the_runtime_are_read() {
    for (output, reason) in [
        (
            "panic: runtime error: index out of range [recovered]\n\tpanic: runtime error: index \
             out of range\n[signal SIGSEGV: segmentation violation]\n\ngoroutine 1 [running]:\n",
            "panic: runtime error: index out of range",
        ),
        (
            "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select]:\n",
            "fatal error: all goroutines are asleep - deadlock!",
        ),
        (
            "panic: test timed out after 1s\nrunning tests:\n\tTestHang (1s)\n\n\
             goroutine 5 [running]:\n",
            "panic: test timed out after 1s; running tests: TestHang (1s)",
        ),
    ] {
        assert_eq!(
            described(output),
            (Verdict::Failed, reason.to_owned(), None)
        );
    }
    assert_eq!(crash("panic: only said\n", &package()), None);
    assert_eq!(crash("", &package()), None);
}

#[test]
fn test_that_calls_exit_is_unknown() {
    let output = PANIC.replace("boom", EXITED);
    let (verdict, reason, _) = described(&output);
    assert_eq!(verdict, Verdict::Unknown);
    assert!(
        reason.starts_with("it called os.Exit(0) (a_test.go:18)"),
        "{reason}"
    );
}

#[test]
fn entries_have_their_further_lines() {
    let output = "  a_test.go:4: got 1\n      want 2\nother\n    b/c.go:1: no\n    x.go:2: \n";
    let found = entries(output);
    let found: Vec<_> = found.iter().map(|it| (it.line, it.text.as_str())).collect();
    assert_eq!(found, [(4, "got 1\nwant 2"), (2, "")]);
}

#[test]
fn marked_failures_are_counted() {
    let errors = [
        "    a_test.go:1: one\n".to_owned(),
        "    a_test.go:2: two\n".to_owned(),
    ];
    let mut result = TestResult {
        verdict: Verdict::Failed,
        ..TestResult::default()
    };
    let printed = Printed {
        output: "    a_test.go:1: one\n    a_test.go:2: two\n    a_test.go:3: a note\n",
        errors: &errors,
    };
    explain(&mut result, &printed, &package());
    assert_eq!(
        result.reason.as_deref(),
        Some("a_test.go:1: one (and 1 more failure)")
    );
    assert_eq!(result.failures.as_deref(), Some(&*errors.concat()));
}

#[test]
fn failure_without_a_message_says_so() {
    let printed = Printed {
        output: "",
        errors: &[],
    };
    for (verdict, reason) in [
        (Verdict::Failed, SILENT),
        (Verdict::Skipped, "skipped"),
        (Verdict::Unknown, "it has no result"),
    ] {
        let mut result = TestResult {
            verdict,
            ..TestResult::default()
        };
        explain(&mut result, &printed, &package());
        assert_eq!(result.reason.as_deref(), Some(reason));
    }
}
