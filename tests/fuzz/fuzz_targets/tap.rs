//! Owns TAP streams. Every stream has one consistent verdict, however it is split into pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea_plugin_sdk::Status;
use persea_runner_tap::{Parser, Verdict};

/// The greatest length of a reason in characters.
const REASON: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let verdict = in_pieces(bytes, |_| usize::MAX);
    check(bytes, &verdict);
    assert_eq!(in_pieces(bytes, |_| 1), verdict, "byte by byte");
    let uneven = |at: usize| 1 + bytes.get(at).map_or(0, |byte| usize::from(byte % 61));
    assert_eq!(in_pieces(bytes, uneven), verdict, "in pieces");
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        let ended = [bytes, b"\n"].concat();
        assert_eq!(in_pieces(&ended, |_| 7), verdict, "with a last newline");
    }
    let decoded = String::from_utf8_lossy(bytes);
    assert_eq!(
        in_pieces(decoded.as_bytes(), |_| 3),
        verdict,
        "as valid UTF-8"
    );
});

/// Parses the stream in pieces. `size` returns the size of the piece at an offset.
fn in_pieces(bytes: &[u8], size: impl Fn(usize) -> usize) -> Verdict {
    let mut parser = Parser::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let piece = rest.get(..size(at)).unwrap_or(rest);
        parser.feed(piece);
        at += piece.len();
    }
    parser.finish()
}

/// Checks the invariants of a verdict.
fn check(bytes: &[u8], verdict: &Verdict) {
    let Verdict {
        status,
        reason,
        passed,
        failed,
        skipped,
        ..
    } = verdict;
    let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
    assert!(passed + failed + skipped <= lines, "{verdict:?}");
    match status {
        Status::Pass | Status::Warn => assert_eq!(*failed, 0, "{verdict:?}"),
        Status::Skip => assert_eq!((*passed, *failed), (0, 0), "{verdict:?}"),
        Status::Fail => assert!(*failed > 0, "{verdict:?}"),
        Status::Error => {}
        other => panic!("{other:?} is not a verdict on TAP"),
    }
    assert_eq!(reason.is_none(), *status == Status::Pass, "{verdict:?}");
    if let Some(reason) = reason {
        assert!(!reason.is_empty());
        assert!(!reason.contains(char::is_control), "{reason:?}");
        assert!(reason.chars().count() < REASON, "{reason}");
    }
}
