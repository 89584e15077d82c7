//! Owns what people ask about jobs that were run: the history of a test, and which commit each job
//! ran. `jobs` lists and removes jobs, `comparison` compares two, `archives` carries them to
//! another machine.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::recipes::shell;
use crate::support::users::User;
use crate::support::{Fixture, Ran, assert_stderr, finish, skip};

mod archives;
mod comparison;
mod jobs;

/// The ids of commits.
const COMMITS: [&str; 3] = [
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
    "3333333333333333333333333333333333333333",
];

/// A project with a recipe of two tests. The one with the name `t` ends as the file `code` says,
/// and passes if the file `again` is there, which its first attempt makes.
fn project() -> Fixture {
    let project = Fixture::new();
    let script = "test -e again && exit 0; touch again; exit $(cat code)";
    project.recipe("job.json", &[shell("t", script), shell("other", "true")]);
    project
}

/// Runs the recipe of a project at a commit, where the test ends with this exit code.
fn run_at(project: &Fixture, commit: &str, code: i32, options: &[&str]) {
    project.file(".git/HEAD", "ref: refs/heads/main\n");
    project.file(".git/refs/heads/main", commit);
    project.file("code", code.to_string());
    let args = [&["run"], options, &["job.json"]].concat();
    let ran = project.run(&args);
    let is_flaky = !options.is_empty();
    let expected = if is_flaky { 0 } else { code };
    ran.code(expected);
    std::fs::remove_file(project.project().join("again")).unwrap();
}

/// The number in a duration such as `0.012 s`.
#[track_caller]
fn seconds(duration: &str) -> f64 {
    let number = duration
        .strip_suffix(" s")
        .unwrap_or_else(|| panic!("{duration:?}"));
    number
        .parse()
        .unwrap_or_else(|error| panic!("{duration:?}: {error}"))
}

/// The answer of a command with `--json`.
#[track_caller]
fn answer(project: &Fixture, args: &[&str]) -> Value {
    let ran = project.run(&[args, &["--json"]].concat()).code(0);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

#[test]
fn trend_of_a_test_has_its_passes_flakes_and_present_failures() {
    let project = project();
    run_at(&project, COMMITS[0], 0, &[]);
    // The result changes although the commit is the same.
    run_at(&project, COMMITS[0], 1, &[]);
    // It passes on a retry.
    run_at(&project, COMMITS[1], 1, &["--retries", "1"]);
    run_at(&project, COMMITS[2], 1, &[]);
    let first_failure = project.job().0;
    let first_failure = first_failure.file_name().unwrap().to_str().unwrap();
    run_at(&project, COMMITS[2], 1, &[]);
    let ran = project.run(&["history", "t"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        ["TEST     : t", "RUNS     : 5 of 5, the newest first"]
    );
    let statuses = ["FAIL", "FAIL", "PASS", "FAIL", "PASS"];
    let commits = [
        "3333333333",
        "3333333333",
        "2222222222",
        "1111111111",
        "1111111111",
    ];
    for ((line, status), commit) in lines[2..7].iter().zip(statuses).zip(commits) {
        let parts = line.starts_with(" job-") && line.contains(&format!("  {status}  "));
        assert!(
            parts && line.contains(&format!("  {commit} (main)  ")),
            "{line}\n{ran}"
        );
    }
    assert!(lines[4].ends_with(", attempt 2"), "{ran}");
    assert_eq!(lines[7], "PASSED   : 2 of 5");
    let flaky = "FLAKY    : 2 of 5 (40 %): 1 passed on a retry, 1 changed at the same commit";
    assert_eq!(lines[8], flaky);
    let failing = format!("FAILING  : for 2 runs, since {first_failure}, ");
    assert!(lines[9].starts_with(&failing), "{ran}");
    assert!(lines[9].ends_with(", commit 3333333333 (main)"), "{ran}");
    let duration = lines[10].strip_prefix("DURATION : p50 ").unwrap();
    let (p50, p95) = duration.split_once(", p95 ").unwrap();
    let (p50, p95) = (seconds(p50), seconds(p95));
    assert!((0.0..=p95).contains(&p50) && p95 < 60.0, "{ran}");
    assert_eq!(lines.len(), 11, "{ran}");

    // The counts are about the runs that are shown; failures are counted from their first one.
    let all = answer(&project, &["history", "t", "-n", "1"]);
    assert_eq!(all["runs"].as_array().unwrap().len(), 1);
    assert_eq!((&all["all-runs"], &all["failed"]), (&json!(5), &json!(1)));
    assert_eq!(all["failing"]["runs"], 2);
    assert_eq!(all["failing"]["since"]["job"], first_failure);
    assert_eq!(all["failing"]["since"]["revision"]["commit"], COMMITS[2]);
    assert_eq!(all["flaky"]["rate"], 0.0);
    let passing = answer(&project, &["history", "other"]);
    assert_eq!(
        (&passing["passed"], &passing["failing"]),
        (&json!(5), &Value::Null)
    );
    let [p50, p95] = ["p50", "p95"].map(|key| passing[key].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p95, "{p50} {p95}");
}

#[test]
fn test_is_found_by_its_whole_name_before_parts_of_names() {
    let project = Fixture::new();
    let names = ["login", "login slow", "tests/login\u{1b}[2J"];
    let tests = names.map(|name| shell(name, "true"));
    project.recipe("job.json", &tests);
    project.run(&["run", "job.json"]).code(0);
    for (text, expected) in [
        ("login", "login"),
        ("slow", "login slow"),
        ("tests/", names[2]),
    ] {
        assert_eq!(answer(&project, &["history", text])["test"], expected);
    }
    let shown = project.run(&["history", "tests/"]).code(0);
    assert!(
        shown.stdout.contains("TEST     : tests/login\\x1b[2J\n"),
        "{shown}"
    );
    let ran = project.run(&["history", "ogin"]).code(4);
    assert_stderr(
        &ran,
        &[
            "several tests have names that contain `ogin`:",
            "login\n",
            "login slow\n",
            "tests/login\\x1b[2J\n",
            "help: give the whole name of one",
        ],
    );
    let ran = project.run(&["history", "none"]).code(4);
    let parts = [
        "has a test whose name contains `none`",
        "help: `--all-projects`",
    ];
    assert_stderr(&ran, &parts);
}

#[test]
fn jobs_of_other_projects_count_only_if_asked() {
    let project = project();
    project.file(
        "elsewhere/job.json",
        json!([shell("t", "false")]).to_string(),
    );
    run_at(&project, COMMITS[0], 0, &[]);
    let elsewhere = project.project().join("elsewhere");
    let in_elsewhere = |args: &[&str]| project.run_with(args, |it| it.current_dir(&elsewhere));
    in_elsewhere(&["run", "job.json"]).code(1);
    let own = project.run(&["history", "t"]).code(0);
    assert!(own.stdout.contains("PASSED   : 1 of 1"), "{own}");
    assert_stderr(&own, &["note: 1 run in other projects is left out"]);
    let other = in_elsewhere(&["history", "t"]).code(0);
    assert!(other.stdout.contains("PASSED   : 0 of 1"), "{other}");
    // The repository above is that of the directory too.
    assert!(other.stdout.contains("1111111111 (main)"), "{other}");
    let all = project.run(&["history", "t", "--all-projects"]).code(0);
    assert!(all.stdout.contains("PASSED   : 1 of 2"), "{all}");
    assert_eq!(all.stderr, "");
}

#[test]
fn history_works_without_a_cache_and_with_a_results_directory_that_is_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = project();
    run_at(&project, COMMITS[0], 0, &[]);
    let results = project.job().0.parent().unwrap().to_path_buf();
    let set = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&results, mode).unwrap();
    };
    // The user whose files these are cannot write to the directory; root can.
    let user = User::of(&project);
    set(0o555);
    let ask = |cache: Option<&str>| {
        let args = ["history", "t"];
        let mut command = match &user {
            Some(user) => user.persea(&project, &[], &args),
            None => project.persea(&args),
        };
        if let Some(cache) = cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        finish(command.spawn().unwrap())
    };
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names(&results);
    for cache in ["/proc/none", "/dev/null"] {
        let ran = ask(Some(cache)).code(0);
        assert!(ran.stdout.contains("PASSED   : 1 of 1"), "{ran}");
    }
    let ran = ask(None).code(0);
    assert!(ran.stdout.contains("PASSED   : 1 of 1"), "{ran}");
    assert_eq!(names(&results), before);
    set(0o755);
}

#[test]
fn damaged_journal_is_named_and_the_other_jobs_count() {
    let project = project();
    for code in [0, 1] {
        run_at(&project, COMMITS[0], code, &[]);
    }
    let journal = project.job().0.join("events.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let lines = text.lines().map(|line| {
        let is_end =
            line.contains("\"event\":\"task-finished\"") && line.contains("\"name\":\"t\"");
        let line = if is_end { &line[..20] } else { line };
        format!("{line}\n")
    });
    std::fs::write(&journal, lines.collect::<String>()).unwrap();
    let ran = project.run(&["history", "t"]).code(0);
    assert!(ran.stdout.contains("PASSED   : 1 of 1"), "{ran}");
    let place = format!("warning: {}:", journal.canonicalize().unwrap().display());
    assert_stderr(&ran, &[&place, "not an event of a journal"]);
    let list = project.run(&["jobs", "list"]).code(0);
    let states = list.stdout.lines().map(|line| line.contains("  damaged  "));
    assert_eq!(states.collect::<Vec<_>>(), [true, false], "{list}");
}

/// Runs git, without any configuration of this machine. None where it is missing.
fn git(directory: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            git.env_remove(name);
        }
    }
    let ran = git
        .args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .current_dir(directory)
        .env("HOME", directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output();
    let ran = ran.ok()?;
    assert!(
        ran.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Some(String::from_utf8(ran.stdout).unwrap().trim().to_owned())
}

/// What the journal of the latest job has of the commit.
fn revision(project: &Fixture) -> Value {
    project.job().events_of("job-started")[0]["data"]["revision"].clone()
}

/// Runs a job in a directory, and returns what its journal has of the commit.
fn revision_in(project: &Fixture, directory: &Path) -> Value {
    let run = |it: &mut Command| -> Ran { finish(it.current_dir(directory).spawn().unwrap()) };
    run(&mut project.persea(&["run", "/bin/true"])).code(0);
    revision(project)
}

#[test]
fn commit_and_branch_of_a_repository_are_recorded_as_git_names_them() {
    let project = Fixture::new();
    let main = project.project();
    if git(&main, &["--version"]).is_none() {
        return skip("git is missing");
    }
    let git = |directory: &Path, args: &[&str]| git(directory, args).unwrap();
    assert_eq!(revision_in(&project, &main), Value::Null);
    git(&main, &["init", "-q"]);
    // A branch without a commit.
    assert_eq!(revision_in(&project, &main), Value::Null);
    git(&main, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let commit = git(&main, &["rev-parse", "HEAD"]);
    let on = |branch: &str| json!({ "commit": commit, "branch": branch });
    assert_eq!(revision_in(&project, &main), on("main"));
    git(&main, &["pack-refs", "--all"]);
    assert!(!main.join(".git/refs/heads/main").exists());
    assert_eq!(revision_in(&project, &main), on("main"));
    let below = main.join("below");
    std::fs::create_dir(&below).unwrap();
    assert_eq!(revision_in(&project, &below), on("main"));
    git(&main, &["worktree", "add", "-q", "-b", "a/side", "../side"]);
    assert_eq!(
        revision_in(&project, &project.root().join("side")),
        on("a/side")
    );
    git(&main, &["checkout", "-q", "--detach"]);
    assert_eq!(revision_in(&project, &main), json!({ "commit": commit }));
}
