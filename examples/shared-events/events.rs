//! The events of one application, written down once: the server, its clients and the tests use them, and
//! a mistake on either side does not compile.

use roomful_client::{Event, EventError};
use serde::{Deserialize, Serialize};

/// What somebody says to all.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Said {
    /// Who says it.
    pub by: String,
    /// What is said.
    pub text: String,
}

/// A client says something; the answer is how many others hear it, or why nobody does.
pub const SAY: Event<String, Result<usize, EventError>> = Event::new("say");

/// The server tells what was said.
pub const SAID: Event<Said> = Event::new("said");

/// The server asks a client for its name.
pub const NAME: Event<(), String> = Event::new("name");
