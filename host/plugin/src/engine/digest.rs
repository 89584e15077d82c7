//! Owns how the bytes of components and of compiled code are identified.

use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 of bytes as 64 hexadecimal digits, in lower case.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
