//! Which plugins the host may use and what each may do: what components ask for, what locks and
//! users grant, and signatures.

pub(crate) mod binary;
pub(crate) mod entry;
pub(crate) mod grants;
pub(crate) mod lock;
pub(crate) mod locks;
pub(crate) mod manifest;
pub(crate) mod provenance;
pub(crate) mod signature;
