//! Owns resolvers that misbehave: each fails only the reference that it was asked for, and reads
//! only the project. And limits on the memory of answers, journals and job files.

use crate::hostile::assert_printable;
use crate::support::plugins::install;
use crate::support::{Fixture, assert_stderr, assert_well_formed};

/// A project with the hostile resolver, these empty files for it, and a list for another resolver.
fn hostile_resolver(names: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-resolver", "resolver-list"]);
    fixture.file("good.list", "$ echo good\n$ true\n");
    for name in names {
        fixture.file(name, "");
    }
    fixture
}

#[test]
fn trapping_resolver_fails_only_its_reference() {
    let fixture = hostile_resolver(&["trap.bad"]);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "trap.bad",
        "good.list",
        "/bin/true",
    ];
    fixture.run(&args).code(1);
    let job = fixture.job();
    let plugin = "resolver `hostile` (plugins/hostile-resolver.wasm)";
    let parts = [plugin, "panicked at", "cannot bear trap.bad"];
    job.assert_error("trap.bad", &parts);
    for name in ["echo good", "true", "/bin/true"] {
        assert_eq!(job.status(name), "PASS");
    }
    assert_eq!(job.results()["total"], 4);
    let ran = fixture
        .run(&["list", "--plugin-dir", "plugins", "trap.bad", "good.list"])
        .code(2);
    assert!(
        ran.stdout
            .starts_with("ERROR trap.bad\n    resolver `hostile`"),
        "{ran}"
    );
    assert!(ran.stdout.contains("exec-test echo good\n"), "{ran}");
}

#[test]
fn trap_names_its_source_line() {
    let fixture = hostile_resolver(&["unreachable.bad"]);
    fixture.run(&["run", "unreachable.bad"]).code(1);
    let reason = fixture.job().reason("unreachable.bad");
    let source = include_str!("guests/resolver/src/lib.rs");
    let index = source
        .lines()
        .position(|line| line.contains("wasm32::unreachable()"))
        .unwrap();
    // Lines are counted from 1, and a longer number may begin with the same digits.
    let place = format!("resolver/src/lib.rs:{},", index + 1);
    assert!(
        reason.contains("wasm `unreachable` instruction executed"),
        "{reason}"
    );
    assert!(reason.contains(&place), "{place}: {reason}");
}

#[test]
fn endless_resolver_is_stopped_at_its_timeout() {
    let fixture = hostile_resolver(&["loop.bad"]);
    let limit = "plugins.resolver.timeout=0.5";
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--set",
        limit,
        "loop.bad",
        "good.list",
    ];
    fixture.run(&args).code(1);
    let job = fixture.job();
    assert_eq!(job.status("loop.bad"), "ERROR");
    let reason = job.reason("loop.bad");
    assert_eq!(
        reason,
        "resolver `hostile` (plugins/hostile-resolver.wasm) has reached its limit on the time for \
         one answer, 0.5 s: `plugins.resolver.timeout` raises it, or \
         `plugins.resolver.hostile.timeout` alone"
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn job_file_gives_resolvers_no_file_outside_of_the_project() {
    let fixture = hostile_resolver(&[]);
    let outside = fixture.root().join("outside.list");
    std::fs::write(&outside, "noop: read").unwrap();
    std::fs::write(fixture.root().join("key.list"), "secret").unwrap();
    let name = outside.display().to_string();
    let list_suite = |reference: &str| {
        fixture.file(
            "job.toml",
            format!("[[suite]]\nname = 's'\nreferences = ['{reference}']\n"),
        );
        fixture.run(&["list", "--job", "job.toml"])
    };
    // A reference on the command line may be outside of the project.
    let typed = fixture.run(&["list", &name]);
    assert!(
        typed.stderr.is_empty() && !typed.stdout.contains("not-permitted"),
        "{typed}"
    );
    for reference in [&*name, "../outside.list", "../key.list"] {
        let ran = list_suite(reference).code(2);
        assert!(ran.stdout.starts_with("MISSING"), "{ran}");
        assert!(
            !ran.stdout.contains("secret") && !ran.stdout.contains("noop"),
            "{ran}"
        );
    }
    let ran = list_suite("good.list").code(0);
    assert_eq!(ran.stdout, "exec-test echo good\nexec-test true\n");
    // Built-in resolvers may read outside of the project.
    let ran = list_suite("/bin/true").code(0);
    assert_eq!(ran.stdout, "exec-test /bin/true\n");
}

#[test]
fn resolver_reads_only_the_project() {
    let fixture = hostile_resolver(&["peek.bad", "../outside"]);
    std::os::unix::fs::symlink("../outside", fixture.project().join("link-out")).unwrap();
    fixture.pipe("pipe");
    let ran = fixture
        .run(&["list", "--plugin-dir", "plugins", "peek.bad"])
        .code(0);
    assert_eq!(ran.stdout, "noop held\n");
}

#[test]
fn names_from_a_resolver_are_escaped() {
    let fixture = hostile_resolver(&["names.bad"]);
    let ran = fixture
        .run(&["list", "--plugin-dir", "plugins", "names.bad"])
        .code(0);
    assert_printable(&ran);
    assert!(ran.stdout.starts_with("noop a\\x1b[2Jb\\nc\n"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 4, "{ran}");
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "names.bad"])
        .code(1);
    assert_printable(&ran);
    let job = fixture.job();
    assert_eq!(job.results()["total"], 4);
    for entry in std::fs::read_dir(job.0.join("test-results")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains(char::is_control), "{name:?}");
    }
    assert_well_formed(&job.0.join("results.xml"));
    let tap = job.read("results.tap");
    assert_eq!(
        tap.lines()
            .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
            .count(),
        4,
        "{tap}"
    );
}

/// The reference ends in ERROR with a reason that names the plugin and contains these parts, and
/// the other list is resolved.
#[track_caller]
fn assert_error(name: &str, options: &[&str], parts: &[&str]) {
    let fixture = hostile_resolver(&[name]);
    let args = [&["run"], options, &[name, "good.list"]].concat();
    let ran = fixture.run(&args).code(1);
    assert_printable(&ran);
    let job = fixture.job();
    job.assert_error(name, parts);
    job.assert_error(
        name,
        &["resolver `hostile` (plugins/hostile-resolver.wasm)"],
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn ten_million_runnables_are_refused() {
    assert_error("millions.bad", &[], &["its limit on memory, 256 MiB"]);
    // With enough memory, the limit on one call remains.
    assert_error(
        "millions.bad",
        &["--set", "plugins.resolver.hostile.limits.memory_mb=4000"],
        &["its limit on what one call hands to the host, 32 MiB"],
    );
}

#[test]
fn text_of_one_gibibyte_is_refused() {
    assert_error(
        "gib.bad",
        &[],
        &[
            "its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it, or \
             `plugins.resolver.hostile.limits.memory_mb` alone",
        ],
    );
    assert_error(
        "many.bad",
        &["--set", "plugins.limits.call_mb=8"],
        &["its limit on what one call hands to the host, 8 MiB"],
    );
}

#[test]
fn json_that_expands_in_memory_is_refused() {
    assert_error(
        "heavy.bad",
        &[],
        &[
            "its limit on the memory that one answer takes, 256 MiB: `plugins.limits.answer_mb` \
             raises it, or `plugins.resolver.hostile.limits.answer_mb` alone",
        ],
    );
    let fixture = hostile_resolver(&["heavy.bad"]);
    let (peak, ran) = fixture.run_with_peak(&["list", "heavy.bad"]);
    ran.code(2);
    // The guest has several copies of the 31 MiB, the host one. Parsed they would take 2.6 GiB.
    assert!(peak < 700, "{peak} MiB");
}

#[test]
fn recipe_that_expands_in_memory_is_refused() {
    let fixture = Fixture::new();
    // 31 MiB, with more than four million objects. Parsed they would take 2.6 GiB.
    let flood = format!("[{}{{\"\":0}}]", "{\"\":0},".repeat((31 << 20) / 7));
    fixture.file("no-recipe.json", &flood);
    let (peak, ran) = fixture.run_with_peak(&["list", "no-recipe.json"]);
    let why = "no-recipe.json is JSON, but not a recipe: [0]: Missing required property \"kind\"";
    assert!(ran.code(2).stdout.contains(why));
    assert!(peak < 300, "{peak} MiB");
    let recipe = format!("[{{\"kind\":\"noop\",\"uri\":\"a\",\"kwargs\":{{\"x\":{flood}}}}}]");
    fixture.file("recipe.json", recipe);
    let (peak, ran) = fixture.run_with_peak(&["run", "recipe.json", "/bin/true"]);
    ran.code(1);
    let job = fixture.job();
    assert_eq!(job.status("recipe.json"), "ERROR");
    let why = "resolver `recipe` has reached its limit on the memory that one answer takes, 256 \
               MiB: `plugins.limits.answer_mb` raises it, or \
               `plugins.resolver.recipe.limits.answer_mb` alone";
    assert_eq!(job.reason("recipe.json"), why);
    assert_eq!(job.status("/bin/true"), "PASS");
    assert!(peak < 300, "{peak} MiB");
}

#[test]
fn answers_kept_by_a_job_are_limited_in_total() {
    let names: Vec<String> = (0..40)
        .map(|number| format!("{number:02}.hoard.bad"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fixture = hostile_resolver(&names);
    // Each answer takes some 7 MiB, so that about ten of them fit.
    for (limit, words) in [
        (
            "plugins.limits.answers_mb=80",
            "its limit on the memory that its answers take in one job, 80 MiB",
        ),
        (
            "run.plan_mb=80",
            "its limit on the memory that the tasks of one job take, 80 MiB: `run.plan_mb` raises \
             it",
        ),
    ] {
        let deaths = "plugins.limits.deaths=1000";
        let mut args = vec!["run", "--set", limit, "--set", deaths, "good.list"];
        args.extend(&names);
        fixture.run(&args).code(1);
        let job = fixture.job();
        let results = job.results();
        let kept = results["pass"].as_u64().unwrap() - 2;
        assert!((8..=12).contains(&kept), "{kept}");
        assert_eq!(results["errors"].as_u64().unwrap(), 40 - kept);
        let refused = names.iter().find(|name| job.status(name) == "ERROR");
        let reason = job.reason(refused.unwrap());
        assert!(reason.contains(words), "{reason}");
        assert_eq!(job.status("echo good"), "PASS");
    }
}

#[test]
fn journal_line_that_expands_in_memory_is_refused() {
    let fixture = Fixture::new();
    fixture.run(&["run", "/bin/true"]).code(0);
    let journal = fixture.job().0.join("events.jsonl");
    let objects = vec![r#"{"":0}"#; 3_000_000].join(",");
    let requirement = format!(r#"{{"kind":"k","kwargs":{{"heavy":[{objects}]}}}}"#);
    let data = format!(r#"{{"id":"r","name":"r","requirement":{requirement},"scope":"job"}}"#);
    let line = format!("{{\"event\":\"requirement-started\",\"time\":1,\"data\":{data}}}\n");
    std::fs::write(&journal, line).unwrap();
    let (peak, ran) = fixture.run_with_peak(&["release", "latest"]);
    let ran = ran.code(2);
    let error = ":1: the line would take more than 1024 MiB of memory";
    assert_stderr(&ran, &[error]);
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn job_file_with_too_many_tables_is_refused() {
    let fixture = Fixture::new();
    let tables = "{a=1},".repeat(2_700_000);
    let suite = "[[suite]]\nname = 's'\nreferences = ['/bin/true']\n";
    fixture.file("job.toml", format!("[settings]\nx = [{tables}]\n{suite}"));
    let (peak, ran) = fixture.run_with_peak(&["list", "--job", "job.toml"]);
    let ran = ran.code(4);
    let error = "job.toml: more than 500000 values, lists and tables";
    assert_stderr(&ran, &[error]);
    // Without the limit it was 7.3 GiB.
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn variants_over_the_memory_limit_are_not_built() {
    let fixture = Fixture::new();
    let text = "x".repeat(1 << 20);
    let axis: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let axis = axis.join(", ");
    fixture.file(
        "job.toml",
        format!(
            "[[suite]]\nname = 's'\n\
             variants.axes = {{a = [{axis}], b = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}\n\
             [[suite.task]]\nkind = 'noop'\nkwargs.text = '{text}'\n"
        ),
    );
    let (peak, ran) = fixture.run_with_peak(&["list", "--job", "job.toml"]);
    let ran = ran.code(4);
    let error = "job.toml: the tests of suite `s` reach its limit on the memory that the tasks of \
                 one job take, 4096 MiB: `run.plan_mb` raises it";
    assert_stderr(&ran, &[error]);
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn long_error_of_a_resolver_is_cut() {
    let fixture = hostile_resolver(&["long.bad"]);
    let ran = fixture.run(&["run", "long.bad", "good.list"]).code(2);
    assert!(ran.stderr.len() < 10_000, "{} bytes", ran.stderr.len());
    assert!(
        ran.stderr
            .contains("Reference long.bad might be resolved by hostile"),
        "{ran}"
    );
}

#[test]
fn resolver_cannot_read_pipes_devices_and_links() {
    let fixture = hostile_resolver(&["look.bad", "secret"]);
    let project = fixture.project();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, project.join(name)).unwrap();
    link("/etc/shadow", "shadow");
    link("/dev/zero", "zero");
    link("/proc", "proc");
    link(".", "loop");
    link("nowhere", "dangling");
    link("circle", "circle");
    fixture.pipe("pipe");
    let ran = fixture.run(&["list", "look.bad"]).code(2);
    // A link to the project itself may be followed; the resolver ends the recursion.
    assert!(
        ran.stdout
            .contains(r#"read ["loop/loop/loop/secret"], listed "#),
        "{ran}"
    );
    assert!(ran.took.as_secs() < 20);
}

#[test]
fn file_that_changes_while_it_is_read_is_harmless() {
    let fixture = hostile_resolver(&["changing.bad", "changing"]);
    let path = fixture.project().join("changing");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut size = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                size = (size + 77_777) % 3_000_000;
                let _ = std::fs::write(&path, vec![b'x'; size]);
            }
        });
        let ran = fixture.run(&["list", "changing.bad"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let ran = ran.code(0);
        assert!(ran.stdout.starts_with("noop "), "{ran}");
    });
}

#[test]
fn directory_swapped_for_a_link_is_not_followed() {
    let fixture = hostile_resolver(&["race.bad"]);
    fixture.file("inside/secret", "inside");
    fixture.file("../outside/secret", "outside");
    fixture.file("../outside/way-out", "");
    let path = |name: &str| fixture.project().join(name);
    std::os::unix::fs::symlink("../outside", path("link")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let rename = |from: &str, to: &str| {
                std::fs::rename(path(from), path(to)).unwrap();
            };
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["inside", "link"] {
                    rename(name, "swapped");
                    rename("swapped", name);
                }
            }
        });
        let ran = fixture.run(&["list", "race.bad"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // The directory was read, the link refused, and its target never reached.
        assert_eq!(ran.code(0).stdout, "noop true true 0\n");
    });
}

#[test]
fn names_with_path_parts_become_plain_directories() {
    let fixture = hostile_resolver(&["odd.bad"]);
    let ran = fixture.run(&["run", "odd.bad"]).code(0);
    assert_printable(&ran);
    let job = fixture.job();
    assert_eq!(job.results()["total"], 10);
    assert_well_formed(&job.0.join("results.xml"));
    let outside: Vec<_> = std::fs::read_dir(fixture.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        outside
            .iter()
            .all(|name| ["home", "project"].contains(&name.to_str().unwrap())),
        "{outside:?}"
    );
    let finished = job.events_of("task-finished");
    let directories: Vec<&str> = finished
        .iter()
        .map(|event| event["data"]["directory"].as_str().unwrap())
        .collect();
    assert_eq!(directories.len(), 10);
    for directory in directories {
        let name = directory.strip_prefix("test-results/").unwrap();
        assert!(
            !name.contains(['/', '\0', '\n', '\u{1b}', '\u{202e}'])
                && ![".", "..", ""].contains(&name),
            "{directory:?}"
        );
    }
}
