//! The power `log`: messages to the plugin's log. Every plugin may have it.

use crate::contract::world::World;
use crate::powers::descriptor::Power;

pub(crate) static POWER: Power = Power {
    name: "log",
    worlds: &World::ALL,
    words: "write messages to the log",
    grant: None,
    more_grants: &[],
};
