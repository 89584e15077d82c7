//! Owns where reports are written: the standard output, a file, a named pipe.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::Value;

use crate::support::{Fixture, assert_well_formed};

#[test]
fn report_on_stdout_has_stdout_to_itself() {
    let fixture = Fixture::new();
    fixture.file(
        "all.json",
        r#"[{"kind": "noop"}, {"kind": "exec-test", "uri": "/bin/false"}, {"kind": "robot"}]"#,
    );
    let run = |option: &str| {
        let ran = fixture.run(&["run", option, "-", "all.json"]).code(1);
        assert_eq!(
            ran.stderr,
            "1 test cannot run: no runner for kind `robot`: add a plugin that runs it with \
             `persea plugin add FILE`; `persea plugin list` shows those there are\n"
        );
        ran.stdout
    };
    let json: Value = serde_json::from_str(&run("--json")).unwrap();
    assert_eq!(json["total"], 3);
    assert_eq!(json, fixture.job().results());

    let tap = run("--tap");
    assert!(tap.starts_with("1..3\n"), "{tap}");
    assert_eq!(tap, fixture.job().read("results.tap"));

    let xml = run("--xunit");
    assert_well_formed(&fixture.file("out.xml", &xml));
    assert_eq!(xml, fixture.job().read("results.xml"));
}

#[test]
fn report_is_also_written_to_a_named_file() {
    let fixture = Fixture::new();
    let ran = fixture
        .run(&["run", "--xunit", "ci.xml", "--json", "ci.json", "/bin/true"])
        .code(0);
    let tally =
        "\nRESULTS    : PASS 1 | ERROR 0 | FAIL 0 | SKIP 0 | WARN 0 | INTERRUPT 0 | CANCEL 0\n";
    assert!(ran.stdout.contains(tally), "{ran}");
    let job = fixture.job();
    let read = |name: &str| std::fs::read_to_string(fixture.project().join(name)).unwrap();
    assert_eq!(read("ci.xml"), job.read("results.xml"));
    assert_eq!(read("ci.json"), job.read("results.json"));
}

#[test]
fn page_for_browsers_is_written_only_on_request() {
    let fixture = Fixture::new();
    let page = |fixture: &Fixture| fixture.job().0.join("results.html");
    fixture.run(&["run", "/bin/true"]).code(0);
    assert!(!page(&fixture).exists());
    fixture
        .run(&["run", "--html", "page.html", "/bin/true"])
        .code(0);
    assert!(!page(&fixture).exists());
    let page_of_option = std::fs::read_to_string(fixture.project().join("page.html")).unwrap();
    fixture.file("persea.toml", "job.run.result.html.enabled = true\n");
    fixture.run(&["run", "/bin/true"]).code(0);
    let page_of_setting = std::fs::read_to_string(page(&fixture)).unwrap();
    for text in [page_of_option, page_of_setting] {
        assert!(text.starts_with("<!doctype html>"), "{text}");
        assert!(
            text.contains(r#""name":"/bin/true","kind":"exec-test","status":"PASS""#),
            "{text}"
        );
        assert!(text.ends_with("</html>\n"), "{text}");
    }
}

#[test]
fn report_is_written_to_a_named_pipe() {
    let fixture = Fixture::new();
    let pipe = fixture.pipe("pipe");
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = std::fs::File::options();
    options.read(true).write(true).custom_flags(flags);
    let mut reader = options.open(&pipe).unwrap();
    // The TAP report is written front to back, the JSON report is patched afterwards.
    for format in ["tap", "json"] {
        let option = format!("--{format}");
        fixture.run(&["run", &option, "pipe", "/bin/true"]).code(0);
        // The pipe has no end of file, because this reader could write to it too.
        let mut bytes = Vec::new();
        let end = reader.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::WouldBlock);
        let file = fixture.job().read(&format!("results.{format}"));
        assert_eq!(String::from_utf8(bytes).unwrap(), file);
    }
}
