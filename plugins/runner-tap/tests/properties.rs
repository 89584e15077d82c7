//! What holds for every TAP stream, valid or not.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_plugin_sdk::prelude::Status;
use persea_runner_tap::{Parser, Verdict};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Verdict {
    let mut parser = Parser::new();
    parser.feed(bytes);
    parser.finish()
}

/// Lines that mean something, and lines that nearly do.
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

/// How a point of a well-formed document ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Ok,
    NotOk,
    Skip,
    TodoFails,
    TodoPasses,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Ok),
        Just(Kind::NotOk),
        Just(Kind::Skip),
        Just(Kind::TodoFails),
        Just(Kind::TodoPasses)
    ]
}

/// Writes a document as TAP 14 wants it, every description escaped.
fn write(points: &[(Kind, String)], numbered: bool, late: bool) -> String {
    let plan = format!("1..{}\n", points.len());
    let mut text = String::from("TAP version 14\n");
    if !late {
        text.push_str(&plan);
    }
    for (index, (kind, name)) in points.iter().enumerate() {
        let (word, directive) = match kind {
            Kind::Ok => ("ok", ""),
            Kind::NotOk => ("not ok", ""),
            Kind::Skip => ("ok", " # SKIP no disk"),
            Kind::TodoFails => ("not ok", " # TODO later"),
            Kind::TodoPasses => ("ok", " # TODO later"),
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
    /// No bytes make it panic, and every result but PASS has a reason.
    #[test]
    fn it_survives_anything(bytes in stream()) {
        let verdict = parse(&bytes);
        prop_assert_eq!(verdict.reason.is_none(), verdict.status == Status::Pass);
        prop_assert!(verdict.reason.as_deref() != Some(""));
    }

    /// How the stream is cut into pieces makes no difference.
    #[test]
    fn pieces_make_no_difference(bytes in stream(), sizes in prop::collection::vec(1_usize..9, 1..40)) {
        let mut parser = Parser::new();
        let mut rest = bytes.as_slice();
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*size));
            parser.feed(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(parser.finish(), parse(&bytes));
    }

    /// A well-formed document comes to what it says, whichever of the ways to write it is used.
    #[test]
    fn a_written_document_reads_back(
        points in prop::collection::vec((kind(), "[a-zA-Z#\\\\ ]{0,12}[a-z]"), 1..12),
        numbered in any::<bool>(),
        late in any::<bool>(),
    ) {
        let count = |wanted| points.iter().filter(|(kind, _)| *kind == wanted).count() as u64;
        let (failed, skipped) = (count(Kind::NotOk), count(Kind::Skip));
        let verdict = parse(write(&points, numbered, late).as_bytes());
        let expected = if failed > 0 {
            Status::Fail
        } else if count(Kind::TodoPasses) > 0 {
            Status::Warn
        } else if skipped == points.len() as u64 {
            Status::Skip
        } else {
            Status::Pass
        };
        prop_assert_eq!(verdict.status, expected);
        prop_assert_eq!((verdict.failed, verdict.skipped), (failed, skipped));
        prop_assert_eq!(verdict.passed, points.len() as u64 - failed - skipped);
        // The first failing point is named as it was written.
        if let Some((index, (_, name))) = points.iter().enumerate().find(|(_, (kind, _))| *kind == Kind::NotOk) {
            let label = format!("failed: {} - {}", index + 1, name.trim());
            let reason = verdict.reason.unwrap();
            prop_assert!(reason.contains(&label), "{} has no {}", reason, label);
        }
    }

    /// The same document indented as a subtest makes the point fail that stands for it exactly where it would have failed.
    #[test]
    fn a_failing_subtest_makes_its_point_fail(points in prop::collection::vec((kind(), "[a-z]{1,5}"), 1..8)) {
        let document = write(&points, true, false);
        let inner = document.strip_prefix("TAP version 14\n").unwrap();
        let indented: String = inner.lines().map(|line| format!("    {line}\n")).collect();
        let outer = parse(format!("TAP version 14\n1..1\n{indented}ok 1 - outer\n").as_bytes());
        prop_assert_eq!(outer.status == Status::Fail, parse(document.as_bytes()).status == Status::Fail);
    }
}
