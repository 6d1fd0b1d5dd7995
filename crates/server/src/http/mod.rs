//! HTTP up to sessions: what is done with a request, whoever has read it, and what it is answered. It calls no
//! handler and knows no type of the user's.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod bundle;
pub(crate) mod coding;
pub(crate) mod cookie;
pub(crate) mod door;
pub(crate) mod flow;
pub(crate) mod front;
pub(crate) mod head;
pub(crate) mod headers;
pub(crate) mod hooks;
pub(crate) mod origin;
pub(crate) mod refused;
pub(crate) mod request;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod site;
