//! What bytes must come to: `sha256:` and hexadecimal digits. It must not know where they come from.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A checksum with its algorithm.
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
            format!("{text:?} is no checksum: it should begin with its algorithm, as `sha256:`")
        })?;
        let algorithm = Algorithm::ALL.into_iter().find(|one| one.name() == name);
        let algorithm = algorithm.ok_or_else(|| {
            format!(
                "checksums of the algorithm {name:?} are not known: sha256, sha512 and sha1 are"
            )
        })?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain || digits.len() != algorithm.digits() {
            return Err(format!(
                "{text:?} is no checksum: {name} has {} hexadecimal digits",
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
    /// Whether it is the SHA-256 of what it stands for, and which.
    pub(super) fn sha256(&self) -> Option<&str> {
        (self.algorithm == Algorithm::Sha256).then_some(&self.digits)
    }

    pub(super) fn start(&self) -> Running<'_> {
        let state = match self.algorithm {
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::default()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::default()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::default()),
        };
        Running {
            expected: self,
            state,
        }
    }
}

/// A checksum in the making.
pub(super) struct Running<'a> {
    expected: &'a Checksum,
    state: State,
}

enum State {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Running<'_> {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha1(state) => state.update(bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// What was expected and what was found, where these differ.
    pub(super) fn finish(self) -> Result<(), (String, String)> {
        let digits = match self.state {
            State::Sha1(state) => hexadecimal(&state.finalize()),
            State::Sha256(state) => hexadecimal(&state.finalize()),
            State::Sha512(state) => hexadecimal(&state.finalize()),
        };
        if digits == self.expected.digits {
            return Ok(());
        }
        let found = format!("{}:{digits}", self.expected.algorithm.name());
        Err((self.expected.to_string(), found))
    }
}

/// The SHA-256 of what is kept, by which it is named.
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
    fn a_checksum_names_its_algorithm_and_has_its_length() {
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
    fn bytes_are_held_to_it() {
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
