//! [`Asked`]: what a client wants; [`Said`]: events that the server sends.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::frames;
use crate::words::text;

static SAID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let event = |number| frames::text(format!(r#"42["said","{}"]"#, text(number)).as_bytes());
    (10..100).map(event).collect()
});
/// One write of a flood.
static FLOOD: LazyLock<Vec<u8>> = LazyLock::new(|| SAID.concat().repeat(FLOOD_ROUNDS));
/// How often all texts are in it: about 64 KiB.
const FLOOD_ROUNDS: usize = 10;

/// What a message asks for.
pub(crate) enum Asked<'a> {
    Join,
    /// The number of the ack, and what stands behind the name of the event.
    Echo {
        id: &'a str,
        rest: &'a str,
    },
    Said(Said),
    /// The end of the session; that of a namespace asks for nothing.
    Leave,
    Nothing,
}

/// Events to send: how many a second, or as many as the connection takes, and how long.
pub(crate) struct Said {
    per_second: Option<u32>,
    time: Duration,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(message: &'a Message) -> Self {
        let Message::Text(text) = message else {
            return Self::Nothing;
        };
        match text.as_bytes() {
            [b'4', b'0', ..] => Self::Join,
            [b'1'] => Self::Leave,
            [b'4', b'2', ..] => Self::event(&text[2..]).unwrap_or(Self::Nothing),
            _ => Self::Nothing,
        }
    }

    /// `12["echo",…`, without the type of the packet.
    fn event(packet: &'a str) -> Option<Self> {
        let (id, event) = packet.split_at(packet.find('[')?);
        let (name, rest) = event[1..].split_once(',')?;
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let time = |text: &str| number(text).map(|ms| Duration::from_millis(ms.into()));
        match name {
            r#""echo""# => Some(Self::Echo { id, rest }),
            r#""flood""# => {
                let time = time(rest.strip_suffix(']')?)?;
                Some(Self::Said(Said { per_second: None, time }))
            }
            r#""pace""# => {
                let (per_second, ms) = rest.strip_suffix(']')?.split_once(',')?;
                let per_second = Some(number(per_second).filter(|rate| *rate > 0)?);
                Some(Self::Said(Said { per_second, time: time(ms)? }))
            }
            _ => None,
        }
    }
}

impl Said {
    /// Sends them, and how many there were.
    pub(crate) async fn send(&self, stream: &mut TcpStream) -> io::Result<()> {
        let sent = match self.per_second {
            Some(per_second) => self.pace(per_second, stream).await?,
            None => self.flood(stream).await?,
        };
        let done = frames::text(format!(r#"42["done",{sent}]"#).as_bytes());
        stream.write_all(&done).await
    }

    async fn pace(&self, per_second: u32, stream: &mut TcpStream) -> io::Result<usize> {
        let (started, mut sent) = (Instant::now(), 0);
        let mut due = interval(Duration::from_secs(1) / per_second);
        while started.elapsed() < self.time {
            due.tick().await;
            stream.write_all(&SAID[sent % SAID.len()]).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn flood(&self, stream: &mut TcpStream) -> io::Result<usize> {
        let (started, mut sent) = (Instant::now(), 0);
        while started.elapsed() < self.time {
            stream.write_all(&FLOOD).await?;
            sent += SAID.len() * FLOOD_ROUNDS;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_what_it_asks_for() {
        let asked = |text: &str| match Asked::of(&Message::text(text)) {
            Asked::Join => "join".to_owned(),
            Asked::Echo { id, rest } => format!("echo {id} {rest}"),
            Asked::Said(said) => format!("said {:?} {:?}", said.per_second, said.time),
            Asked::Leave => "leave".to_owned(),
            Asked::Nothing => String::new(),
        };
        for join in ["40", "40{}", "40/,"] {
            assert_eq!(asked(join), "join");
        }
        assert_eq!(asked(r#"427["echo","a,b"]"#), r#"echo 7 "a,b"]"#);
        assert_eq!(asked(r#"42["flood",250]"#), "said None 250ms");
        assert_eq!(asked(r#"42["pace",1000,2000]"#), "said Some(1000) 2s");
        assert_eq!(asked("1"), "leave");
        for nothing in ["", "3", "41", "42", "42[]", r#"42["pace",0,1]"#, r#"42["flood"]"#] {
            assert_eq!(asked(nothing), "", "{nothing}");
        }
    }

    #[test]
    fn an_ack_is_one_frame() {
        let mut out = Vec::new();
        frames::push_ack(&mut out, "7", r#""a"]"#);
        assert_eq!(out, frames::text(br#"437["a"]"#));
    }
}
