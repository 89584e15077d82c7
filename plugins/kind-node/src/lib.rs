//! Persea's plugin `node-test`: the test files of Node's own runner, `node:test`.
//!
//! This module owns the plugin's roles. A file becomes one runnable, which runs the file with Node,
//! with a case for each test, suite and subtest. `session` runs Node and judges its end, `stream`
//! reads what `persea_node_report.js` writes while the tests run. There is no lister: Node does not
//! list tests without running them.

mod reference;
mod session;
mod stream;

use persea_exec_command::CLEAR_ENV;
use persea_plugin_sdk::prelude::*;

const KIND: &str = "node-test";

/// Node: a path, or a name to look up in PATH.
const NODE: Setting<Text> = Setting::text("runner.node-test.node")
    .default("node")
    .summary("The node that runs test files");

/// The plugin `node-test`.
pub struct NodeTest;

impl Plugin for NodeTest {
    fn describe() -> Description {
        Description::new(KIND, "finds and runs the test files of Node's own runner")
            .role(Role::resolver([KIND]))
            .role(Role::runner([KIND]))
            .setting(&NODE)
            .setting(&CLEAR_ENV)
    }
}

impl Resolver for NodeTest {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        Ok(reference::resolve(&request.reference))
    }
}

impl Runner for NodeTest {
    fn run(task: Task) -> Result<Outcome, Error> {
        session::run(&task)
    }
}

export!(NodeTest: resolver, runner);
