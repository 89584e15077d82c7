//! Resolvers that misbehave: each costs the reference that it was asked for, and sees of the machine what it should.

use crate::hostile::assert_printable;
use crate::support::assert_well_formed;
use crate::support::plugins::install;
use crate::support::{Ran, Sandbox};

/// A project with the hostile resolver, a good list, and these files that it wants.
fn hostile_resolver(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-resolver", "resolver-list"]);
    sandbox.file("good.list", "$ echo good\n$ true\n");
    for name in names {
        sandbox.file(name, "");
    }
    sandbox
}

#[test]
fn trapping_resolver_fails_only_its_reference() {
    let sandbox = hostile_resolver(&["trap.bad"]);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "trap.bad",
        "good.list",
        "/bin/true",
    ];
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("trap.bad"), "ERROR");
    let reason = job.reason("trap.bad");
    for part in [
        "resolver `hostile` (plugins/hostile-resolver.wasm)",
        "panicked at",
        "cannot bear trap.bad",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    for name in ["echo good", "true", "/bin/true"] {
        assert_eq!(job.status(name), "PASS");
    }
    assert_eq!(job.results()["total"], 4);
    let ran = sandbox
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
    let sandbox = hostile_resolver(&["unreachable.bad"]);
    sandbox.run(&["run", "unreachable.bad"]).code(1);
    let reason = sandbox.job().reason("unreachable.bad");
    let source = include_str!("guests/resolver/src/lib.rs");
    let line = source
        .lines()
        .position(|line| line.contains("wasm32::unreachable()"))
        .unwrap();
    // The instruction may be taken for that of the match around it.
    let lines = [line, line + 1].map(|line| format!("resolver/src/lib.rs:{line}"));
    assert!(
        reason.contains("wasm `unreachable` instruction executed"),
        "{reason}"
    );
    assert!(
        lines.iter().any(|line| reason.contains(line.as_str())),
        "{lines:?}: {reason}"
    );
}

#[test]
fn endless_resolver_is_stopped_at_its_timeout() {
    let sandbox = hostile_resolver(&["loop.bad"]);
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
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("loop.bad"), "ERROR");
    let reason = job.reason("loop.bad");
    assert_eq!(
        reason,
        "resolver `hostile` (plugins/hostile-resolver.wasm) has reached its limit on the time for one answer, 0.5 s: `plugins.resolver.timeout` raises it, or `plugins.resolver.hostile.timeout` alone"
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn job_file_gives_resolvers_no_file_outside_of_the_project() {
    let sandbox = hostile_resolver(&[]);
    let outside = sandbox.root().join("outside.list");
    std::fs::write(&outside, "noop: read").unwrap();
    std::fs::write(sandbox.root().join("key.list"), "secret").unwrap();
    let name = outside.display().to_string();
    let suite = |reference: &str| {
        sandbox.file(
            "job.toml",
            format!("[[suite]]\nname = 's'\nreferences = ['{reference}']\n"),
        );
        sandbox.run(&["list", "--job", "job.toml"])
    };
    // What the user types is read wherever it is.
    let typed = sandbox.run(&["list", &name]);
    assert!(
        typed.stderr.is_empty() && !typed.stdout.contains("not-permitted"),
        "{typed}"
    );
    for reference in [&*name, "../outside.list", "../key.list"] {
        let ran = suite(reference).code(2);
        assert!(ran.stdout.starts_with("MISSING"), "{ran}");
        assert!(
            !ran.stdout.contains("secret") && !ran.stdout.contains("noop"),
            "{ran}"
        );
    }
    let ran = suite("good.list").code(0);
    assert_eq!(ran.stdout, "exec-test echo good\nexec-test true\n");
    // Those of the host may look.
    let ran = suite("/bin/true").code(0);
    assert_eq!(ran.stdout, "exec-test /bin/true\n");
}

#[test]
fn resolver_reads_only_the_project() {
    let sandbox = hostile_resolver(&["peek.bad", "../outside"]);
    std::os::unix::fs::symlink("../outside", sandbox.project().join("link-out")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(sandbox.project().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let ran = sandbox
        .run(&["list", "--plugin-dir", "plugins", "peek.bad"])
        .code(0);
    assert_eq!(ran.stdout, "noop held\n");
}

#[test]
fn names_from_a_resolver_are_escaped() {
    let sandbox = hostile_resolver(&["names.bad"]);
    let ran = sandbox
        .run(&["list", "--plugin-dir", "plugins", "names.bad"])
        .code(0);
    assert_printable(&ran);
    assert!(ran.stdout.starts_with("noop a\\x1b[2Jb\\nc\n"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 4, "{ran}");
    let ran = sandbox
        .run(&["run", "--plugin-dir", "plugins", "names.bad"])
        .code(1);
    assert_printable(&ran);
    let job = sandbox.job();
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

/// A reference that ends ERROR with these words; the good list is resolved all the same.
#[track_caller]
fn is_an_error(name: &str, options: &[&str], says: &[&str]) {
    let sandbox = hostile_resolver(&[name]);
    let mut args = vec!["run"];
    args.extend(options);
    args.extend([name, "good.list"]);
    let ran = sandbox.run(&args).code(1);
    assert_printable(&ran);
    let job = sandbox.job();
    assert_eq!(job.status(name), "ERROR");
    let reason = job.reason(name);
    for part in says
        .iter()
        .chain([&"resolver `hostile` (plugins/hostile-resolver.wasm)"])
    {
        assert!(reason.contains(part), "no {part:?} in {reason}");
    }
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn ten_million_runnables_are_refused() {
    is_an_error("millions.bad", &[], &["its limit on memory, 256 MiB"]);
    // With more memory there is still the limit of a call.
    is_an_error(
        "millions.bad",
        &["--set", "plugins.resolver.hostile.limits.memory_mb=4000"],
        &["its limit on what one call hands to the host, 32 MiB"],
    );
}

#[test]
fn text_of_one_gibibyte_is_refused() {
    is_an_error(
        "gib.bad",
        &[],
        &[
            "its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it, or `plugins.resolver.hostile.limits.memory_mb` alone",
        ],
    );
    is_an_error(
        "many.bad",
        &["--set", "plugins.limits.call_mb=8"],
        &["its limit on what one call hands to the host, 8 MiB"],
    );
}

/// Runs the binary, and gives the most memory that it took at once, in MiB.
fn peak_of(sandbox: &Sandbox, args: &[&str]) -> (u64, Ran) {
    const PEAK: &str = "import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)";
    let own = sandbox.persea(args);
    let mut command = std::process::Command::new("python3");
    command
        .args(["-c", PEAK])
        .arg(own.get_program())
        .args(own.get_args());
    sandbox.equip(&mut command);
    let ran = crate::support::finish(command.spawn().unwrap());
    let peak = ran
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("peak "));
    let kib: u64 = peak.unwrap().parse().unwrap();
    (kib >> 10, ran)
}

#[test]
fn json_that_expands_in_memory_is_refused() {
    is_an_error(
        "heavy.bad",
        &[],
        &[
            "its limit on the memory that one answer takes, 256 MiB: `plugins.limits.answer_mb` raises it, or `plugins.resolver.hostile.limits.answer_mb` alone",
        ],
    );
    let sandbox = hostile_resolver(&["heavy.bad"]);
    let (peak, ran) = peak_of(&sandbox, &["list", "heavy.bad"]);
    ran.code(2);
    // 31 MiB in the guest's memory several times, and once in the host's; a tree of it would be 2.6 GiB.
    assert!(peak < 700, "{peak} MiB");
}

#[test]
fn answers_kept_by_a_job_are_limited_in_total() {
    let names: Vec<String> = (0..40)
        .map(|number| format!("{number:02}.hoard.bad"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sandbox = hostile_resolver(&names);
    // Each takes some 7 MiB: ten of them fit.
    for (limit, words) in [
        (
            "plugins.limits.answers_mb=80",
            "its limit on the memory that its answers take in one job, 80 MiB",
        ),
        (
            "run.plan_mb=80",
            "its limit on the memory that the tasks of one job take, 80 MiB: `run.plan_mb` raises it",
        ),
    ] {
        let deaths = "plugins.limits.deaths=1000";
        let mut args = vec!["run", "--set", limit, "--set", deaths, "good.list"];
        args.extend(&names);
        sandbox.run(&args).code(1);
        let job = sandbox.job();
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
    let sandbox = Sandbox::new();
    sandbox.run(&["run", "/bin/true"]).code(0);
    let journal = sandbox.job().0.join("events.jsonl");
    let objects = vec![r#"{"":0}"#; 3_000_000].join(",");
    let requirement = format!(r#"{{"kind":"k","kwargs":{{"heavy":[{objects}]}}}}"#);
    let data = format!(r#"{{"id":"r","name":"r","requirement":{requirement},"scope":"job"}}"#);
    let line = format!("{{\"event\":\"requirement-started\",\"time\":1,\"data\":{data}}}\n");
    std::fs::write(&journal, line).unwrap();
    let (peak, ran) = peak_of(&sandbox, &["release", "latest"]);
    let ran = ran.code(2);
    let words = ":1: the line would take more than 1024 MiB of memory";
    assert!(ran.stderr.contains(words), "{ran}");
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn job_file_with_too_many_tables_is_refused() {
    let sandbox = Sandbox::new();
    let tables = "{a=1},".repeat(2_700_000);
    let suite = "[[suite]]\nname = 's'\nreferences = ['/bin/true']\n";
    sandbox.file("job.toml", format!("[settings]\nx = [{tables}]\n{suite}"));
    let (peak, ran) = peak_of(&sandbox, &["list", "--job", "job.toml"]);
    let ran = ran.code(4);
    let words = "job.toml: it has more than 500000 values, lists and tables";
    assert!(ran.stderr.contains(words), "{ran}");
    // It was 7.3 GiB.
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn variants_over_the_memory_limit_are_not_built() {
    let sandbox = Sandbox::new();
    let text = "x".repeat(1 << 20);
    let axis: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let axis = axis.join(", ");
    sandbox.file(
        "job.toml",
        format!("[[suite]]\nname = 's'\nvariants.axes = {{a = [{axis}], b = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}\n[[suite.task]]\nkind = 'noop'\nkwargs.text = '{text}'\n"),
    );
    let (peak, ran) = peak_of(&sandbox, &["list", "--job", "job.toml"]);
    let ran = ran.code(4);
    let words = "job.toml: the tests of suite `s` reach its limit on the memory that the tasks of one job take, 4096 MiB: `run.plan_mb` raises it";
    assert!(ran.stderr.contains(words), "{ran}");
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn long_error_of_a_resolver_is_cut() {
    let sandbox = hostile_resolver(&["long.bad"]);
    let ran = sandbox.run(&["run", "long.bad", "good.list"]).code(2);
    assert!(ran.stderr.len() < 10_000, "{} bytes", ran.stderr.len());
    assert!(
        ran.stderr
            .contains("Reference long.bad might be resolved by hostile"),
        "{ran}"
    );
}

#[test]
fn resolver_cannot_read_pipes_devices_and_links() {
    let sandbox = hostile_resolver(&["look.bad", "secret"]);
    let project = sandbox.project();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, project.join(name)).unwrap();
    link("/etc/shadow", "shadow");
    link("/dev/zero", "zero");
    link("/proc", "proc");
    link(".", "loop");
    link("nowhere", "dangling");
    link("circle", "circle");
    let made = std::process::Command::new("mkfifo")
        .arg(project.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let ran = sandbox.run(&["list", "look.bad"]).code(2);
    // A link to the project itself leads to what may be read, and ends.
    assert!(
        ran.stdout
            .contains(r#"read ["loop/loop/loop/secret"], listed "#),
        "{ran}"
    );
    assert!(ran.took.as_secs() < 20);
}

#[test]
fn file_that_changes_while_it_is_read_is_harmless() {
    let sandbox = hostile_resolver(&["changing.bad", "changing"]);
    let path = sandbox.project().join("changing");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut size = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                size = (size + 77_777) % 3_000_000;
                let _ = std::fs::write(&path, vec![b'x'; size]);
            }
        });
        let ran = sandbox.run(&["list", "changing.bad"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let ran = ran.code(0);
        assert!(ran.stdout.starts_with("noop "), "{ran}");
    });
}

#[test]
fn directory_swapped_for_a_link_is_not_followed() {
    let sandbox = hostile_resolver(&["race.bad"]);
    sandbox.file("inside/secret", "inside");
    sandbox.file("../outside/secret", "outside");
    sandbox.file("../outside/way-out", "");
    let place = |name: &str| sandbox.project().join(name);
    std::os::unix::fs::symlink("../outside", place("link")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let moved = |from: &str, to: &str| {
                std::fs::rename(place(from), place(to)).unwrap();
            };
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["inside", "link"] {
                    moved(name, "swapped");
                    moved("swapped", name);
                }
            }
        });
        let ran = sandbox.run(&["list", "race.bad"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // Read as a directory, refused as a link, and never followed.
        assert_eq!(ran.code(0).stdout, "noop true true 0\n");
    });
}

#[test]
fn names_with_path_parts_become_plain_directories() {
    let sandbox = hostile_resolver(&["odd.bad"]);
    let ran = sandbox.run(&["run", "odd.bad"]).code(0);
    assert_printable(&ran);
    let job = sandbox.job();
    assert_eq!(job.results()["total"], 10);
    assert_well_formed(&job.0.join("results.xml"));
    let outside: Vec<_> = std::fs::read_dir(sandbox.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        outside
            .iter()
            .all(|name| ["home", "project"].contains(&name.to_str().unwrap())),
        "{outside:?}"
    );
    let events = job.events();
    let finished = events.iter().filter(|it| it["event"] == "task-finished");
    let directories: Vec<&str> = finished
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
