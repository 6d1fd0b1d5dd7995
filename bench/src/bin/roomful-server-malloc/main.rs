//! Roomful with the events that all measured servers have, and the system's allocator.

#[path = "../roomful-server/events.rs"]
mod events;
#[path = "../roomful-server/runtime.rs"]
mod runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    runtime::serve(&events::server()?)
}
