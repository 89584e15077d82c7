//! Owns no code: its manifest enables the features that a build of the whole workspace enables. See
//! `.config/hakari.toml`.
