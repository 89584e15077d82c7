//! Owns the refusal of powers: a component links what all of its roles import, and an instance may
//! use only what its own role offers. Does not know which powers there are.

use std::sync::Arc;

use crate::contract::convert::error;
use crate::contract::data::Error;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;

impl InstanceState {
    /// Checks that the instance's role offers a power. No role is known while the plugin describes
    /// itself.
    ///
    /// # Errors
    /// `not-permitted`.
    pub(crate) fn permit(&self, power: &Power) -> Result<(), Error> {
        let label = &self.context.label;
        let message = match self.context.world {
            Some(world) if power.worlds.contains(&world) => return Ok(()),
            Some(world) => {
                let (role, name) = (world.name(), power.name);
                format!("{label} may not use `{name}`: the role `{role}` does not offer it")
            }
            None => format!("{label} may not use `{}` to describe itself", power.name),
        };
        Err(error("not-permitted", message))
    }

    /// Returns what a power keeps for the instance.
    ///
    /// # Errors
    /// `not-permitted`: the instance's role does not offer the power, or the current call has no
    /// use for it.
    pub(crate) fn permitted<P: PowerState>(&mut self, power: &Power) -> Result<&mut P, Error> {
        self.permit(power)?;
        let context = Arc::clone(&self.context);
        self.power_mut().ok_or_else(|| {
            let (label, name) = (&context.label, power.name);
            error(
                "not-permitted",
                format!("{label} may not use `{name}` in this call"),
            )
        })
    }
}
