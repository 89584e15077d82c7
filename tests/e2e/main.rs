//! End-to-end tests: the real binary, its real plugins, real processes. One file for each thing that users rely on.

#![allow(
    unreachable_pub, // a crate of its own, with nobody to reach it
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod batches;
mod book;
mod chaos;
mod chaos_processes;
mod chaos_signals;
mod cli;
mod compiled;
mod endings;
mod grants;
mod graph;
#[path = "../hostile/mod.rs"]
mod hostile;
mod input;
mod kinds;
mod layers;
mod limits;
mod mixed;
mod output;
mod plugins;
mod policy;
mod python;
mod quick;
mod readers;
mod references;
mod registries;
mod reports;
mod requirement_resolvers;
mod requirements;
mod sandboxes;
mod scarce;
mod schedulers;
mod settings;
mod suites;
mod support;
mod terminal;
mod trust;
mod variants;
mod wasi;
