//! Roomful with the events that all measured servers have, and the allocator of the hub.

mod events;
mod runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    runtime::serve(&events::server()?)
}
