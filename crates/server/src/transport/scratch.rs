//! [`Scratch`]: the thread's read buffer, borrowed for one read. What is idle has none.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 32 * 1024;

pub(crate) struct Scratch {
    buffer: Vec<u8>,
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Scratch {
    pub(crate) fn take() -> Self {
        let mut buffer = BUFFER.take();
        // Empty the first time, and while another read on this thread has it.
        buffer.resize(READ_BYTES, 0);
        Self { buffer }
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Fails only while the thread ends, and then nobody needs it.
        let _ = BUFFER.try_with(|buffer| buffer.set(std::mem::take(&mut self.buffer)));
    }
}
