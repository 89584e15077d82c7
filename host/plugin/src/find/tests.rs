//! Plugins of two tracks of the contract in one catalog: the track 0.2, and the made-up 0.3 of the
//! tests.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use crate::engine::componentize::componentize;
use crate::engine::digest::digest;
use crate::find::catalog::Catalog;
use crate::find::sources::{BuiltIn, Sources};
use crate::powers::task::TaskHost;
use crate::powers::testing::FakeTask;
use crate::tracks::made_up;
use persea_config::{Config, UserDirs};
use persea_model::{Attributes, JobId, Outcome, Runnable, Status, Task, TaskIndex};

/// A runner of 0.2 from the corpus of the contract: it prints the uri of its task.
const OLDER: &[u8] = include_bytes!("../../../../tests/contract/0.2.0/modules/c-printf.wasm");

fn built_in(name: &'static str, bytes: Vec<u8>) -> BuiltIn {
    BuiltIn {
        name,
        digest: digest(&bytes).leak(),
        bytes: bytes.leak(),
    }
}

/// Runs a task with the catalog's runner for its kind. Returns the outcome and the task's log.
async fn run(catalog: &Catalog, kind: &str, uri: Option<&str>) -> (Outcome, Vec<String>) {
    let fake = Arc::new(FakeTask::default());
    let host: Arc<dyn TaskHost> = Arc::clone(&fake) as Arc<dyn TaskHost>;
    let runnable = Runnable {
        kind: kind.to_owned(),
        uri: uri.map(str::to_owned),
        ..Runnable::default()
    };
    let task = Task {
        id: format!("1-{kind}").into(),
        runnable: runnable.into(),
        index: TaskIndex::default(),
        name: kind.into(),
        title: kind.into(),
        directory: kind.into(),
    };
    let none = Attributes::new();
    let plugin = catalog.runner(kind).unwrap();
    let job = JobId::from_bytes([0; 20]);
    let outcome = plugin.run(&job, &task, &none, none.clone(), host).await;
    let outcome = outcome.unwrap();
    let log = fake.logged.lock().unwrap().clone();
    (outcome, log)
}

#[tokio::test]
async fn components_of_two_tracks_run_in_one_catalog() {
    let older = componentize(OLDER).unwrap();
    let all = vec![
        built_in("older", older),
        built_in("later", made_up::component()),
    ];
    let sources = Sources {
        built_in: all.leak(),
        ..Sources::default()
    };
    let config = Config::load(&UserDirs::from_env(), &[], &[]).unwrap();
    let project = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::bare(sources, &config, 2, project.path()).unwrap();
    catalog.load().await.unwrap();
    assert!(catalog.failures().is_empty(), "{:?}", catalog.failures());

    let versions: Vec<(String, String)> = catalog
        .plugins()
        .map(|plugin| (plugin.name.clone(), plugin.manifest.contract.to_string()))
        .collect();
    let version = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    assert_eq!(
        versions,
        [version("corpus", "0.2.0"), version("later", "0.3.1")]
    );

    let (outcome, log) = run(&catalog, "printf", Some("a.c")).await;
    assert_eq!(outcome.status, Status::Pass);
    assert_eq!(log, ["printed for a.c"]);

    let (outcome, log) = run(&catalog, "later-test", None).await;
    assert_eq!((outcome.status, outcome.reason), (Status::Pass, None));
    assert_eq!(log, ["1-later-test"]);
    let (outcome, _) = run(&catalog, "later-test", Some("broken")).await;
    let reason = outcome.reason.as_deref();
    assert_eq!((outcome.status, reason), (Status::Fail, Some("broken")));
}
