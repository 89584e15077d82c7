//! The power `pages`: parts of an answer that is too long for one return. They come before what the
//! call returns, in order. If the call fails or panics, the host drops them. If the host refuses a
//! page with `limit`, the whole answer fails, whatever the call returns.
//!
//! [`RunnablePages`] and [`VariationPages`] collect an answer of any length in bounded memory:
//!
//! ```
//! use persea_plugin_sdk::pages::RunnablePages;
//! use persea_plugin_sdk::prelude::*;
//! # let host = persea_plugin_sdk::testing::Host::new().install();
//!
//! let mut pages = RunnablePages::new();
//! for number in 0..10_000 {
//!     pages.push(Runnable::new("noop").uri(number.to_string()))?;
//! }
//! let resolution = Resolution::found(pages.finish());
//! # assert_eq!(host.pages(), [4096, 4096]);
//! # assert!(matches!(resolution.finding, Finding::Found(rest) if rest.len() == 10_000 - 8192));
//! # Ok::<(), Error>(())
//! ```

use crate::backend;
use crate::error::Error;
use crate::model::Runnable;
use crate::varianter::Variation;

/// The number of items in the pages of [`RunnablePages`] and [`VariationPages`].
pub const PAGE_SIZE: usize = 4096;

/// Adds runnables to the answer of a resolver or a lister.
///
/// # Errors
/// * `limit`: more than the host takes of one reference (`plugins.limits.answers_mb`,
///   `run.plan_mb`)
/// * `interrupted`: nobody waits for the answer any more
/// * `invalid`: a runnable has a value that is not valid
/// * `unsupported`: in a varianter
/// * `not-permitted`
pub fn add_runnables(page: impl Into<Vec<Runnable>>) -> Result<(), Error> {
    backend::add_runnables(page.into())
}

/// Adds variations to the answer of a varianter.
///
/// # Errors
/// As for [`add_runnables`]; `unsupported` in anything but a varianter.
pub fn add_variations(page: impl Into<Vec<Variation>>) -> Result<(), Error> {
    backend::add_variations(page.into())
}

macro_rules! collector {
    ($(#[$documentation:meta])* $name:ident, $item:ty, $add:path) => {
        $(#[$documentation])*
        #[derive(Debug, Default)]
        pub struct $name(Vec<$item>);

        impl $name {
            /// Creates a collector without items.
            pub fn new() -> Self {
                Self::default()
            }

            /// Adds an item. Sends a page of [`PAGE_SIZE`] items before the next item, so that a
            /// short answer needs no page.
            ///
            /// # Errors
            /// Those of the function that adds a page.
            pub fn push(&mut self, item: $item) -> Result<(), Error> {
                if self.0.len() == PAGE_SIZE {
                    $add(std::mem::take(&mut self.0))?;
                }
                self.0.push(item);
                Ok(())
            }

            /// Returns the items of the last page, which the call has to return.
            pub fn finish(self) -> Vec<$item> {
                self.0
            }
        }
    };
}

collector!(
    /// Collects the runnables of a resolver's or a lister's answer.
    RunnablePages,
    Runnable,
    add_runnables
);
collector!(
    /// Collects the variations of a varianter's answer.
    VariationPages,
    Variation,
    add_variations
);
