//! Which pages may call, by which names, and what they are told.

pub(crate) mod cors;
pub(crate) mod hosts;
pub(crate) mod origin_layer;
pub(crate) mod origins;
