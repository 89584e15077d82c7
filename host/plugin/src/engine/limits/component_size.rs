//! Owns the limit on a component's size before the component is read: the highest one that any
//! plugin has, because the plugin is not known yet.

use super::origin::OwnLimits;
use super::{Limit, MIB};
use crate::error::reached::{ReachedLimit, bytes};
use persea_config::Config;

/// The largest component that the host reads, and how a larger one is reported.
#[derive(Clone, Debug)]
pub struct ComponentSizeLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// The report for a larger component.
    pub reached: ReachedLimit,
}

impl ComponentSizeLimit {
    fn new(mebibytes: u64, remedy: String) -> Self {
        let limit = mebibytes.saturating_mul(MIB);
        Self {
            bytes: limit,
            reached: ReachedLimit {
                subject: Limit::ComponentSize.subject(),
                value: bytes(limit),
                remedy,
            },
        }
    }

    /// Returns the highest limit of all plugins. `locked` has the limits of each lock entry.
    pub(crate) fn highest<'a>(
        config: &Config,
        locked: impl Iterator<Item = OwnLimits<'a>>,
    ) -> Self {
        let ending = format!(".{}", Limit::ComponentSize.setting());
        let set = config.iter().filter(|(name, ..)| name.ends_with(&ending));
        let set = set.filter_map(|(name, value, _)| {
            let remedy = format!("`{name}` raises it");
            Some(Self::new(value.as_u64()?, remedy))
        });
        let locked = locked.filter_map(|own| Self::own(&own));
        let highest = set.chain(locked).max_by_key(|limit| limit.bytes);
        highest.unwrap_or_else(|| Self::new(0, String::new()))
    }

    /// Returns the higher one of this limit and that of a plugin's own limits.
    pub(crate) fn or_own(self, own: &OwnLimits<'_>) -> Self {
        let own = Self::own(own);
        own.filter(|own| own.bytes > self.bytes).unwrap_or(self)
    }

    fn own(own: &OwnLimits<'_>) -> Option<Self> {
        let (mebibytes, remedy) = own.number(Limit::ComponentSize.setting())?;
        Some(Self::new(mebibytes, remedy))
    }
}
