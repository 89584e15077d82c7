//! Owns the promise that the examples of the book with several environments do what it says.

use std::path::Path;

use super::{places, project};
use crate::support::slurm::Cluster;

/// The text of an example.
fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/environments");
    std::fs::read_to_string(examples.join(name)).unwrap()
}

#[test]
fn example_runs_anywhere_by_changing_one_word() {
    let (engine, hosts, project) = project(&["one"]);
    let cluster = Cluster::shared();
    let settings = [engine.settings(), hosts.settings(), cluster.settings(1, 2)];
    project.user_config(&settings.concat());
    let text = example("anywhere.toml");
    for spawner in ["process", "sandbox", "container", "ssh", "slurm"] {
        let text = text.replacen("\"process\"", &format!("\"{spawner}\""), 1);
        project.file("anywhere.toml", text);
        let args = ["run", "--job", "anywhere.toml"];
        cluster.run(&project, &args).code(0);
        let found = places(&project);
        assert!(
            found.values().all(|it| it.starts_with(spawner)),
            "{found:?}"
        );
    }
    engine.assert_no_containers_of(&project);
    hosts.assert_nothing_left(&project);
    cluster.assert_nothing_left(&project);
}

#[test]
fn example_with_several_environments_runs_in_all_of_them() {
    let (engine, _hosts, project) = project(&["one"]);
    engine.import("localhost/busybox:1.35", &[], "");
    project.file("several.toml", example("several.toml"));
    project.run(&["run", "--job", "several.toml"]).code(0);
    let found = places(&project);
    let expected = [
        ("compile", "process"),
        ("elsewhere", "ssh one"),
        ("into-the-system", "sandbox"),
        ("new", "container localhost/busybox"),
        ("old", "container localhost/busybox:1.35"),
    ];
    let expected = expected.map(|(name, place)| (name.to_owned(), place.to_owned()));
    assert_eq!(found, expected.into());
}
