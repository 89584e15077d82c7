//! Owns what identifies an environment from outside of the host, and its end for whoever waits
//! beside it. Does not know who asks.

use std::sync::Arc;
use std::time::Duration;

use persea_system::process::start_of;
use rustix::process::Pid;

use super::Environment;

/// What identifies an environment from outside of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentId {
    /// The name of the other host that the environment is on; none for this machine.
    pub host: Option<String>,
    /// The id of the container.
    pub container: Option<String>,
    /// The process, on this machine, that ends with the environment or with the connection to it:
    /// its number, and its start in ticks of the kernel since the machine's start.
    pub process: Option<(u32, u64)>,
    /// The process number of the helper in the environment.
    pub helper: Option<u32>,
    /// How long the helper lives unless this host renews its lease; none where it ends with the
    /// channel.
    pub lease: Option<Duration>,
}

impl EnvironmentId {
    /// The id of an environment that ends with a process of this machine.
    pub(crate) fn of_process(process: Pid) -> Self {
        let number = process.as_raw_nonzero().get().unsigned_abs();
        Self {
            process: start_of(number).map(|start| (number, start)),
            ..Self::default()
        }
    }
}

impl Environment {
    /// Sets what identifies the environment. Has no effect on one of which there is a clone.
    pub(crate) fn identified(mut self, id: EnvironmentId) -> Environment {
        let helper = Some(self.inner.channel.helper());
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.id = EnvironmentId { helper, ..id };
        }
        self
    }

    /// What identifies the environment from outside of the host.
    pub fn id(&self) -> &EnvironmentId {
        &self.inner.id
    }

    /// Waits until the environment has ended and nothing of it is left, as far as the host can
    /// tell, and returns why if it was lost. Does not keep the environment open.
    pub fn ended(&self) -> impl Future<Output = Option<String>> + Send + use<> {
        let channel = Arc::clone(&self.inner.channel);
        async move {
            channel.closed().await;
            channel.is_lost().then(|| channel.ended().to_string())
        }
    }
}
