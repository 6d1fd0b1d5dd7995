//! [`Rest`]: what there is of a process when no client is there.

use std::fs;

use cap::Cap;
use tokio::runtime::Handle;

use std::alloc::System;

/// Counts the bytes that live.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// By how much the memory at rest may differ from that after the first wave.
const GROWTH_PERCENT: usize = 5;
/// And by how much in any case, for each thread of the servers: it keeps a buffer to read into and a few
/// smaller ones from when it first needs them, which need not be in the first wave.
const THREAD_BYTES: usize = 96 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    pub tasks: usize,
    pub files: usize,
    /// Bytes that were allocated and not given back.
    pub live_bytes: usize,
}

impl Rest {
    pub fn now(servers: &Handle) -> Self {
        Self {
            tasks: servers.metrics().num_alive_tasks(),
            files: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            live_bytes: HEAP.allocated(),
        }
    }

    /// How many bytes may live after later waves, where these did after the first.
    pub fn live_bytes_max(self, threads: usize) -> usize {
        self.live_bytes + self.live_bytes / 100 * GROWTH_PERCENT + threads * THREAD_BYTES
    }
}

/// How many files may be open, as the system says.
pub fn files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
