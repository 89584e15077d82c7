//! Tests properties of the parser that hold for every TAP stream, valid or not.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_plugin_sdk::prelude::Status;
use persea_runner_tap::{Parser, Verdict};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Verdict {
    let mut parser = Parser::new();
    parser.feed(bytes);
    parser.finish()
}

/// Lines of TAP, and lines that are nearly TAP.
fn line() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "(not )?ok( [0-9]{1,3})?( -)?( [a-z#\\\\]{0,8})?( # ?(skip|TODO|Skipped:)( [a-z]{0,3})?)?",
        "1\\.\\.[0-9]{1,2}( # SKIP x)?",
        Just("  ---".to_owned()),
        Just("  message: 'a'".to_owned()),
        Just("  ...".to_owned()),
        "TAP version 1[234]",
        "# Subtest(: [a-z]{0,4})?",
        "pragma [+-]strict",
        "Bail out!( x)?",
        "\\PC{0,20}",
        Just(String::new()),
    ];
    (0_usize..3, text).prop_map(|(depth, text)| format!("{}{text}", "    ".repeat(depth)))
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (prop::collection::vec(line(), 0..20), "\r?\n")
            .prop_map(|(lines, end)| lines.join(&end).into_bytes()),
    ]
}

/// A point of a well-formed document.
#[derive(Debug, Clone, Copy, PartialEq)]
enum PointKind {
    Ok,
    NotOk,
    Skip,
    TodoFails,
    TodoPasses,
}

fn kind() -> impl Strategy<Value = PointKind> {
    prop_oneof![
        Just(PointKind::Ok),
        Just(PointKind::NotOk),
        Just(PointKind::Skip),
        Just(PointKind::TodoFails),
        Just(PointKind::TodoPasses)
    ]
}

/// Writes a document in TAP 14, with every description escaped.
fn write(points: &[(PointKind, String)], numbered: bool, late: bool) -> String {
    let plan = format!("1..{}\n", points.len());
    let mut text = String::from("TAP version 14\n");
    if !late {
        text.push_str(&plan);
    }
    for (index, (kind, name)) in points.iter().enumerate() {
        let (word, directive) = match kind {
            PointKind::Ok => ("ok", ""),
            PointKind::NotOk => ("not ok", ""),
            PointKind::Skip => ("ok", " # SKIP no disk"),
            PointKind::TodoFails => ("not ok", " # TODO later"),
            PointKind::TodoPasses => ("ok", " # TODO later"),
        };
        let number = if numbered {
            format!(" {}", index + 1)
        } else {
            String::new()
        };
        let name = name.replace('\\', "\\\\").replace('#', "\\#");
        text.push_str(&format!("{word}{number} - {name}{directive}\n"));
    }
    if late {
        text.push_str(&plan);
    }
    text
}

proptest! {
    /// No bytes make the parser panic, and every result but PASS has a reason.
    #[test]
    fn any_bytes_have_a_verdict(bytes in stream()) {
        let verdict = parse(&bytes);
        prop_assert_eq!(verdict.reason.is_none(), verdict.status == Status::Pass);
        prop_assert!(verdict.reason.as_deref() != Some(""));
    }

    #[test]
    fn chunk_sizes_make_no_difference(
        bytes in stream(),
        sizes in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let mut parser = Parser::new();
        let mut rest = bytes.as_slice();
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            parser.feed(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(parser.finish(), parse(&bytes));
    }

    /// The verdict on a well-formed document is that of its points, with and without numbers, and
    /// with the plan first or last.
    #[test]
    fn written_document_is_read_back(
        points in prop::collection::vec((kind(), "[a-zA-Z#\\\\ ]{0,12}[a-z]"), 1..12),
        numbered in any::<bool>(),
        late in any::<bool>(),
    ) {
        let count = |wanted| points.iter().filter(|(kind, _)| *kind == wanted).count() as u64;
        let (failed, skipped) = (count(PointKind::NotOk), count(PointKind::Skip));
        let verdict = parse(write(&points, numbered, late).as_bytes());
        let expected = if failed > 0 {
            Status::Fail
        } else if count(PointKind::TodoPasses) > 0 {
            Status::Warn
        } else if skipped == points.len() as u64 {
            Status::Skip
        } else {
            Status::Pass
        };
        prop_assert_eq!(verdict.status, expected);
        prop_assert_eq!((verdict.failed, verdict.skipped), (failed, skipped));
        prop_assert_eq!(verdict.passed, points.len() as u64 - failed - skipped);
        // The reason names the first failed point by its unescaped description.
        let mut numbered_points = points.iter().enumerate();
        let first_failed = numbered_points.find(|(_, (kind, _))| *kind == PointKind::NotOk);
        if let Some((index, (_, name))) = first_failed {
            let label = format!("failed: {} - {}", index + 1, name.trim());
            let reason = verdict.reason.unwrap();
            prop_assert!(reason.contains(&label), "{} has no {}", reason, label);
        }
    }

    /// A document that is indented as a subtest fails its point exactly where the document alone
    /// fails.
    #[test]
    fn failing_subtest_makes_its_point_fail(
        points in prop::collection::vec((kind(), "[a-z]{1,5}"), 1..8),
    ) {
        let document = write(&points, true, false);
        let inner = document.strip_prefix("TAP version 14\n").unwrap();
        let indented: String = inner.lines().map(|line| format!("    {line}\n")).collect();
        let outer = parse(format!("TAP version 14\n1..1\n{indented}ok 1 - outer\n").as_bytes());
        let alone = parse(document.as_bytes());
        prop_assert_eq!(outer.status == Status::Fail, alone.status == Status::Fail);
    }
}
