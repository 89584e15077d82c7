//! Room 5: which plugins may be used, and what each may do.

pub(crate) mod grants;
pub(crate) mod lock;
pub(crate) mod manifest;
pub(crate) mod signature;
