//! The errors that the server itself answers an event with: see [`EventError`].

use roomful_proto::EventError;

/// The events of a socket come faster than a [`Rate`](crate::Rate) lets them.
pub(crate) fn too_fast() -> EventError {
    EventError::new("rate_limited", "too many events")
}

/// The arguments are larger than [`args_bytes_max`](crate::EventFlow::args_bytes_max).
pub(crate) fn too_large(args_bytes_max: usize) -> EventError {
    EventError::new("too_large", format!("the arguments have more than {args_bytes_max} bytes"))
        .data(serde_json::json!({ "args_bytes_max": args_bytes_max }))
}
