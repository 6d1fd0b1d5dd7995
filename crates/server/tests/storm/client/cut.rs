//! [`Cut`]: how a visit ends, and for which reason each of its sockets has to end then.

use std::sync::Arc;

use roomful::Reason;

use super::{Client, News, leaving};
use crate::line::{Ended, Line, Upgrade};
use crate::support::{prefix, until};

/// How a visit ends.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Reset,
    Fin,
    PartAndFin,
    PartAndSilence,
    CloseFrame,
    ClosePacket,
    Leave,
    PutOut,
    CloseMe,
    Panic,
    WhileJoining,
    WhileUpgrading,
}

const CUTS: [(u64, Cut); 12] = [
    (14, Cut::Reset),
    (14, Cut::Fin),
    (6, Cut::PartAndFin),
    (3, Cut::PartAndSilence),
    (10, Cut::CloseFrame),
    (8, Cut::ClosePacket),
    (10, Cut::Leave),
    (6, Cut::PutOut),
    (6, Cut::CloseMe),
    (4, Cut::Panic),
    (10, Cut::WhileJoining),
    (9, Cut::WhileUpgrading),
];

/// A stream ended without a word.
const CUT: &[Reason] = &[Reason::TransportError, Reason::TransportClose];
/// Who polls without a poll that waits is only missed.
const CUT_OR_SILENT: &[Reason] =
    &[Reason::TransportError, Reason::TransportClose, Reason::PingTimeout];
impl Client {
    /// Ends the visit. How each of its sockets has ended is compared later.
    pub(super) async fn go(&mut self, mut line: Line) -> Result<(), Ended> {
        let cut = if line.polls() { CUT_OR_SILENT } else { CUT };
        if self.random.below(2) == 0 {
            line.begin_poll().await;
        }
        match self.some_cut() {
            Cut::Reset => line.reset(),
            Cut::Fin => drop(line),
            Cut::PartAndFin => line.send_a_part().await,
            Cut::PartAndSilence => {
                line.send_a_part().await;
                line.is_silent().await;
                self.all_end(&[Reason::PingTimeout]);
                return Ok(());
            }
            Cut::CloseFrame if line.polls() => {}
            goodbye @ (Cut::CloseFrame | Cut::ClosePacket | Cut::Leave) => {
                return self.say_goodbye(line, goodbye).await;
            }
            Cut::PutOut => self.is_put_out(line, "put me out").await?,
            Cut::Panic => self.is_put_out(line, "panic").await?,
            Cut::CloseMe => return self.is_closed(line).await,
            Cut::WhileJoining => {
                self.site.books.is_vague(self.key);
                let auth = self.auth();
                let namespace = format!("/child-{}", self.random.below(self.at_once));
                line.send(&format!("40{}{auth}", prefix(&namespace))).await?;
            }
            Cut::WhileUpgrading => {
                let until = [Upgrade::Opened, Upgrade::Probed, Upgrade::Done];
                let until = until[self.random.below(3) as usize];
                line.upgrade(until, self.random.below(2) == 0).await?;
                line.reset();
            }
        }
        self.all_end(cut);
        Ok(())
    }

    /// Reads to the end afterwards: a stream that is closed over what was not read is reset, and that can
    /// overtake a goodbye.
    async fn say_goodbye(&mut self, mut line: Line, goodbye: Cut) -> Result<(), Ended> {
        if matches!(goodbye, Cut::Leave) {
            for namespace in self.seats.keys() {
                line.send(&leaving(namespace)).await?;
            }
        }
        match goodbye {
            Cut::CloseFrame => line.send_close_frame().await,
            _ => line.send("1").await?,
        }
        line.is_silent().await;
        self.all_end(match goodbye {
            Cut::Leave => &[Reason::ClientNamespaceDisconnect],
            _ => &[Reason::TransportClose],
        });
        Ok(())
    }

    /// Asks the server to close the connection, which takes each socket out before.
    async fn is_closed(&mut self, mut line: Line) -> Result<(), Ended> {
        let Some(namespace) = self.some_seat() else {
            return Ok(());
        };
        line.send(&format!("42{}[\"close me\"]", prefix(&namespace))).await?;
        line.is_silent().await;
        self.all_end(&[Reason::ServerNamespaceDisconnect]);
        Ok(())
    }

    /// Asks for the end of one socket, and sees it. The others end with the stream.
    async fn is_put_out(&mut self, mut line: Line, event: &str) -> Result<(), Ended> {
        let Some(namespace) = self.some_seat() else {
            return Ok(());
        };
        line.send(&format!("42{}[\"{event}\"]", prefix(&namespace))).await?;
        loop {
            match self.turn(&mut line).await? {
                News::Left(name) => {
                    if let Some(seat) = self.seats.remove(&name) {
                        self.site.books.expect(seat.id, &[Reason::ServerNamespaceDisconnect]);
                    }
                    return Ok(());
                }
                News::Event => {}
                other => self.odd(&other),
            }
        }
    }

    fn all_end(&self, reasons: &'static [Reason]) {
        for seat in self.seats.values() {
            self.site.books.expect(seat.id, reasons);
        }
    }

    /// The server has ended the line. That is in order where the machine is too busy for this client to answer
    /// a ping.
    pub(super) async fn was_ended(&mut self, why: &str) {
        let books = Arc::clone(&self.site.books);
        books.is_vague(self.key);
        for seat in self.seats.values() {
            until("the server tells of the end", || books.end_of(seat.id).is_some()).await;
            let end = books.end_of(seat.id);
            if end != Some(Reason::PingTimeout) {
                self.fault(&format!("socket {}: ended by {end:?}: it waited for {why}", seat.id));
            }
            books.expect(seat.id, &[Reason::PingTimeout]);
        }
        books.count("too busy for a ping");
    }

    fn some_cut(&mut self) -> Cut {
        let mut at = self.random.below(CUTS.iter().map(|(share, _)| share).sum());
        for (share, cut) in CUTS {
            match at.checked_sub(share) {
                Some(left) => at = left,
                None => return cut,
            }
        }
        Cut::Fin
    }
}
