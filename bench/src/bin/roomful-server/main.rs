//! Roomful with the events that all measured servers have, and the allocator of the hub.

mod events;
mod runtime;

// Takes the place of the system's `malloc`, since it is linked.
use mimalloc as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    runtime::serve(&events::server()?)
}
