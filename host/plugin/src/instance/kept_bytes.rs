//! Owns the host's memory that an unfinished answer takes: counted while the plugin adds to the
//! answer, and freed if the answer fails. Does not know what is in the answer.

use std::sync::Arc;

use crate::error::reached::ReachedLimit;
use crate::instance::context::PluginContext;

/// Bytes that count to the plugin's answers in the job. Dropping this frees them.
#[derive(Debug)]
pub(crate) struct KeptBytes {
    context: Arc<PluginContext>,
    bytes: u64,
}

impl KeptBytes {
    /// Creates the count of a plugin, which has kept nothing yet.
    pub(crate) fn new(context: &Arc<PluginContext>) -> Self {
        Self {
            context: Arc::clone(context),
            bytes: 0,
        }
    }

    /// Returns the plugin.
    pub(crate) fn context(&self) -> &Arc<PluginContext> {
        &self.context
    }

    /// Counts more bytes.
    ///
    /// # Errors
    /// The plugin, or all plugins together, would take more than their limit.
    pub(crate) fn add(&mut self, more: u64) -> Result<(), ReachedLimit> {
        self.context.try_keep(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Counts the bytes until the job ends.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.context.release(self.bytes);
    }
}
