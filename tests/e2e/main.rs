//! Owns the end-to-end tests: the real binary, its real plugins, real processes. Each file has one
//! promise to users; `support` has what they share.

#![allow(
    unreachable_pub, // no other crate uses this one
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod apart;
mod batches;
mod bats;
mod book;
mod cases;
mod chaos;
mod chaos_processes;
mod chaos_resume;
mod chaos_signals;
mod cli;
mod clocks;
mod compiled;
mod conformance;
mod containers;
mod contract;
mod cpp;
mod endings;
mod environments;
mod filters;
mod go;
mod grants;
mod graph;
mod history;
#[path = "../hostile/mod.rs"]
mod hostile;
mod hosts;
mod input;
mod kinds;
mod languages;
mod layers;
mod leases;
mod limits;
mod listing;
mod mixed;
mod modes;
mod node;
mod output;
mod patterns;
mod plugins;
mod policy;
mod pytest;
mod python;
mod quick;
mod readers;
mod references;
mod registries;
mod reports;
mod requirement_resolvers;
mod requirements;
mod resume;
mod rust_libtest;
mod sandboxes;
mod scarce;
mod schedulers;
mod schemas;
mod settings;
mod slurm;
mod ssh;
mod suites;
mod support;
mod task_limits;
mod terminal;
mod trust;
mod usage;
mod variants;
mod wasi;
