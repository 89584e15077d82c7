//! Runs the script in a real interpreter and checks what it reports.
//!
//! The environment variable PYTHON names another interpreter than `python3`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod fixtures;
mod imports;
mod process;
mod results;
mod support;
