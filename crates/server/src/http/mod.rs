//! HTTP up to sessions. What speaks it beside this folder is to move here.

pub(crate) mod linger;
