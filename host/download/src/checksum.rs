//! Owns checksums: their text form (`sha256:` and hexadecimal digits) and their verification. Does
//! not know where the bytes come from.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// The expected checksum of a download, with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    digits: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.digits)
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, digits) = text.split_once(':').ok_or_else(|| {
            format!("{text:?} is not a checksum: it begins with its algorithm, as in `sha256:`")
        })?;
        let algorithm = Algorithm::ALL.into_iter().find(|one| one.name() == name);
        let algorithm = algorithm.ok_or_else(|| {
            format!("unknown checksum algorithm {name:?}: use sha256, sha512 or sha1")
        })?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain || digits.len() != algorithm.digits() {
            return Err(format!(
                "{text:?} is not a checksum: {name} has {} hexadecimal digits",
                algorithm.digits()
            ));
        }
        Ok(Self {
            algorithm,
            digits: digits.to_ascii_lowercase(),
        })
    }
}

impl Checksum {
    /// The digits, if the algorithm is SHA-256.
    pub(super) fn sha256(&self) -> Option<&str> {
        (self.algorithm == Algorithm::Sha256).then_some(&self.digits)
    }

    pub(super) fn start(&self) -> Verifier<'_> {
        let state = match self.algorithm {
            Algorithm::Sha1 => HashState::Sha1(sha1::Sha1::default()),
            Algorithm::Sha256 => HashState::Sha256(sha2::Sha256::default()),
            Algorithm::Sha512 => HashState::Sha512(sha2::Sha512::default()),
        };
        Verifier {
            expected: self,
            state,
        }
    }
}

/// Computes the checksum of bytes, and compares it with the expected one.
pub(super) struct Verifier<'a> {
    expected: &'a Checksum,
    state: HashState,
}

enum HashState {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Verifier<'_> {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            HashState::Sha1(state) => state.update(bytes),
            HashState::Sha256(state) => state.update(bytes),
            HashState::Sha512(state) => state.update(bytes),
        }
    }

    /// Compares the checksums. The error has the expected and the found one.
    pub(super) fn finish(self) -> Result<(), (String, String)> {
        let digits = match self.state {
            HashState::Sha1(state) => hexadecimal(&state.finalize()),
            HashState::Sha256(state) => hexadecimal(&state.finalize()),
            HashState::Sha512(state) => hexadecimal(&state.finalize()),
        };
        if digits == self.expected.digits {
            return Ok(());
        }
        let found = format!("{}:{digits}", self.expected.algorithm.name());
        Err((self.expected.to_string(), found))
    }
}

/// Computes the SHA-256 of bytes, by which the cache names files.
#[derive(Default)]
pub(super) struct Sha256(sha2::Sha256);

impl Sha256 {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn checksum_needs_a_known_algorithm_and_its_number_of_digits() {
        for text in ["", "abc", "md5:00", "sha256:ab", "sha1:zz"] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
        let error = "sha256:ab".parse::<Checksum>().unwrap_err();
        assert!(
            error.contains("sha256 has 64 hexadecimal digits"),
            "{error}"
        );
    }

    #[test]
    fn checksum_of_other_bytes_is_an_error() {
        // FIPS 180-4's example: "abc".
        for right in [
            "sha1:A9993E364706816ABA3E25717850C26C9CD0D89D",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            let checksum: Checksum = right.parse().unwrap();
            let mut running = checksum.start();
            running.update(b"a");
            running.update(b"bc");
            assert_eq!(running.finish(), Ok(()), "{right}");
            let (expected, found) = checksum.start().finish().unwrap_err();
            assert_eq!(expected, checksum.to_string());
            assert_ne!(expected, found);
        }
    }
}
