//! The tracks of the contract: for each, one folder with its generated types, their conversion, and
//! how it is linked and called. The rest of the crate knows the host's own types only.
//!
//! Owns the table of the tracks. A further track is a folder here and a line in [`TRACKS`].

pub(crate) mod calls;
pub(crate) mod linked;
#[cfg(test)]
pub(crate) mod made_up;
pub(crate) mod track;
pub(crate) mod v0_2;

use track::Track;

/// All tracks of this host, the newest one last. The tests have one more, so that each run of them
/// shows that a track is one folder.
pub(crate) static TRACKS: &[&Track] = &[
    &v0_2::TRACK,
    #[cfg(test)]
    &made_up::TRACK,
];
