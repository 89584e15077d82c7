//! Owns several hosts at once: they share a results directory, a cache, an asset, a lister's answer
//! and a requirement of one machine, and none harms another.

use serde_json::json;

use crate::support::plugins::install;
use crate::support::recipes::{logged, logged_test, shell, with};
use crate::support::{Fixture, finish};

/// The example of FIPS 180-4.
const SHA256_OF_ABC: &str =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn concurrent_hosts_share_results_cache_asset_lister_and_requirement() {
    const HOSTS: usize = 4;
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["suite-script"]);
    let suite = "case $1 in list) echo listed >>listed; echo one; echo two ;; esac";
    fixture.script("suite.sh", suite);
    fixture.file("mirror/abc.txt", "abc");
    let asset = json!({
        "type": "asset", "name": "abc.txt", "locations": "mirror/", "checksum": SHA256_OF_ABC,
    });
    let reads = logged_test("reads", &json!([asset, logged("shared")]));
    let script = "test \"$(cat \"$PERSEA_ASSET_ABC_TXT\")\" = abc && echo here >>met; \
                  until test $(wc -l <met) -ge 4; do sleep 0.02; done";
    // All hosts run at once, because each waits here for the others.
    let reads = with(reads, "args", json!(["-c", script]));
    let listed = json!({"kind": "script-suite", "uri": "./suite.sh"});
    fixture.recipe("job.json", &[reads, listed, shell("prints", "echo text")]);
    let args = ["run", "--plugin-dir", "plugins", "job.json"];
    let start = |_| {
        let mut command = fixture.persea(&args);
        command.env("XDG_CACHE_HOME", fixture.root().join("cache"));
        command.spawn().unwrap()
    };
    let hosts: Vec<_> = (0..HOSTS).map(start).collect();
    for host in hosts {
        let ran = finish(host).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
    }
    let results = fixture.root().join("home/persea/job-results");
    let entries = std::fs::read_dir(&results).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    // `latest` is after all `job-…`; nothing else is there, such as `.latest-…`.
    assert_eq!(names.len(), HOSTS + 1, "{names:?}");
    assert_eq!(names.pop().unwrap(), "latest");
    assert!(
        names.iter().all(|name| name.starts_with("job-")),
        "{names:?}"
    );
    let latest = std::fs::read_link(results.join("latest")).unwrap();
    assert!(
        names.contains(&latest.to_str().unwrap().to_owned()),
        "{latest:?}"
    );
    for name in &names {
        let read = |file: &str| std::fs::read_to_string(results.join(name).join(file)).unwrap();
        let report: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
        assert_eq!((&report["pass"], &report["total"]), (&4.into(), &4.into()));
        let journal = read("events.jsonl");
        let last = journal.lines().last().unwrap();
        assert!(last.contains("\"job-finished\""), "{last}");
    }
    let log = fixture.lines("log");
    for line in ["up shared", "down shared"] {
        assert_eq!(
            log.iter().filter(|one| *one == line).count(),
            HOSTS,
            "{log:?}"
        );
    }
    let unreleased = fixture.root().join("home/.local/state/persea/unreleased");
    assert_eq!(std::fs::read_dir(unreleased).unwrap().count(), 0);
    let ran = fixture.run(&["release"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    assert_eq!(
        fixture.lines("log").len(),
        2 * HOSTS,
        "nothing is released again"
    );
    let new = walkdir::WalkDir::new(fixture.root().join("cache")).into_iter();
    let new = new.map(|entry| entry.unwrap().into_path());
    let new: Vec<_> = new
        .filter(|path| path.to_string_lossy().contains("/.new-"))
        .collect();
    assert!(new.is_empty(), "{new:?}");
    fixture.assert_no_strays();
}
