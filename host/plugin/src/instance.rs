//! Room 3: one instance of a plugin while it lives: its data, its limits, calls into it, how it ends.

pub(crate) mod call;
pub(crate) mod idle;
pub(crate) mod state;
pub(crate) mod terms;
pub(crate) mod trap;
pub(crate) mod usage;
pub(crate) mod workers;
