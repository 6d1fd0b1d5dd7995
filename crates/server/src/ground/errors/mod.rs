//! Why a client may not come in, why an event was not sent, and what the server itself answers one with.

pub(crate) mod emit_error;
pub(crate) mod failure;
pub(crate) mod refusal;
