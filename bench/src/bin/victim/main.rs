//! The server that `bench amplification` attacks, with the allocator of the hub: its CPU is what counts.

mod events;
mod orders;

// Takes the place of the system's `malloc`, since it is linked.
use mimalloc as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    orders::serve(&events::server()?, orders::Heap::default)
}
