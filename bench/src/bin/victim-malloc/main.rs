//! The server that `bench amplification` attacks, with the system's allocator, which counts: its memory is
//! what counts.

#[path = "../victim/events.rs"]
mod events;
#[path = "../victim/orders.rs"]
mod orders;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    orders::serve(&events::server()?, || {
        let heap = orders::Heap { live: HEAP.current_usage(), peak: HEAP.peak_usage() };
        HEAP.reset_peak_usage();
        heap
    })
}
