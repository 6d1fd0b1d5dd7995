//! [`Reassembly`]: a packet whose attachments are still arriving.

use bytes::Bytes;

use super::text::Header;
use crate::error::Violation;
use crate::limits::Limits;
use crate::time::Moment;

/// Attachments for which there is room from when they are announced.
const ATTACHMENTS_AT_ONCE: usize = 4;

/// A packet that has announced attachments, and those that have come.
#[derive(Debug)]
pub(super) struct Reassembly {
    header: Header,
    attachments: Vec<Bytes>,
    bytes: usize,
    until: Moment,
}

/// What an attachment makes of its packet.
pub(super) enum Progress {
    /// More are to come.
    Missing(Box<Reassembly>),
    /// All are there.
    Whole(Header, Box<[Bytes]>),
}

impl Reassembly {
    /// A packet that announces at least one attachment. All have to come within `attachments_timeout`.
    pub(super) fn begin(now: Moment, header: Header, limits: &Limits) -> Box<Self> {
        let announced = header.attachments as usize;
        Box::new(Self {
            header,
            // What an event is to have stays exactly as large as it is; many are not believed in yet.
            attachments: Vec::with_capacity(announced.min(ATTACHMENTS_AT_ONCE)),
            bytes: 0,
            until: now + limits.attachments_timeout,
        })
    }

    /// Until when the last attachment must have come.
    pub(super) const fn until(&self) -> Moment {
        self.until
    }

    /// The time for that begins anew.
    pub(super) fn put_off(&mut self, now: Moment, limits: &Limits) {
        self.until = now + limits.attachments_timeout;
    }

    /// Adds the next attachment. All of a packet may have `payload_bytes_max` bytes together.
    pub(super) fn push(
        mut self: Box<Self>,
        bytes: Bytes,
        limits: &Limits,
    ) -> Result<Progress, Violation> {
        self.bytes += bytes.len();
        if self.bytes > limits.payload_bytes_max {
            return Err(Violation::AttachmentBytes);
        }
        self.attachments.push(bytes);
        if self.attachments.len() < self.header.attachments as usize {
            return Ok(Progress::Missing(self));
        }
        let Self { header, attachments, .. } = *self;
        Ok(Progress::Whole(header, attachments.into()))
    }
}
