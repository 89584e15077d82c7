//! Persea runs test jobs: references are resolved into runnables, runnables become tasks, a runner runs each in an
//! environment, and result formats turn what happened into reports. Resolvers, runners and result formats are
//! WebAssembly components in a sandbox.
//!
//! An arrow only ever points down: `cli` → `job` → `plugin`, `journal`, `display` → `spawner`, `download` → `model`.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod display;
pub mod download;
pub mod exclusive;
mod held;
pub mod job;
pub mod journal;
pub mod model;
pub mod names;
pub mod plugin;
pub mod private;
pub mod small_file;
pub mod spawner;
pub mod temporary;
pub mod threads;
pub mod ulimit;
pub mod weight;
