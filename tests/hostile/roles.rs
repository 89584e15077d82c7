//! Owns components of several roles that use in one role the powers of another: a component links
//! what all of its roles import, so only the host's check of the role refuses the call.

use crate::support::Fixture;
use crate::support::plugins::install;

/// What the host says to a role that uses a power of another, as a line of the answers.
fn refused(call: &str, role: &str, power: &str) -> String {
    format!(
        "{call}: not-permitted {role} `roles` (plugins/hostile-roles.wasm) may not use `{power}`: \
         the role `{role}` does not offer it"
    )
}

fn done(call: &str) -> String {
    format!("{call}: done")
}

#[test]
fn role_of_a_component_has_no_power_of_its_other_roles() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-roles"]);
    fixture.file("x.roles", "");
    fixture.run(&["run", "x.roles"]).code(0);
    let job = fixture.job();
    assert_eq!(job.status("task"), "PASS");
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<String>>();
    let resolver = |call, power| refused(call, "resolver", power);
    assert_eq!(
        lines(job.artifact("task", "resolver-answers")),
        [
            resolver("run", "process"),
            resolver("start", "process"),
            resolver("write", "artifacts"),
            resolver("case", "cases"),
            resolver("report", "report-output"),
            done("stat"),
        ]
    );
    assert_eq!(
        lines(job.artifact("task", "runner-answers")),
        [
            done("run"),
            done("start"),
            done("write"),
            done("case"),
            refused("report", "runner", "report-output"),
            refused("stat", "runner", "workspace"),
        ]
    );
    let format = |call, power| refused(call, "result-format", power);
    assert_eq!(
        lines(job.read("results.roles")),
        [
            format("run", "process"),
            format("start", "process"),
            // A format has the power, and only reads with it.
            "write: not-permitted result-format `roles` (plugins/hostile-roles.wasm) may not use \
             `artifacts` in this call"
                .to_owned(),
            format("case", "cases"),
            format("stat", "workspace"),
        ]
    );
    // Only the runner's processes and files were made.
    let mut made: Vec<String> = std::fs::read_dir(fixture.project())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    let expected = [
        "persea.lock",
        "plugins",
        "runner-run",
        "runner-start",
        "x.roles",
    ];
    assert_eq!(made, expected);
    let files: Vec<String> = std::fs::read_dir(job.directory("task"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| ["resolver", "runner", "format"].contains(&name.as_str()))
        .collect();
    assert_eq!(files, ["runner"]);
    let cases = job.events_of("case-started");
    let paths: Vec<&serde_json::Value> = cases.iter().map(|it| &it["data"]["path"]).collect();
    assert_eq!(paths, [&serde_json::json!(["runner"])]);
    fixture.assert_no_strays();
}
