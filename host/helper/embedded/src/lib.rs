//! Owns the bytes of the helper, built as a static program by this crate's build script.

#![deny(missing_docs)]
#![deny(unsafe_code)]

/// The helper: a static executable for the host's own architecture.
pub static HELPER: &[u8] = include_bytes!(env!("PERSEA_HELPER"));
