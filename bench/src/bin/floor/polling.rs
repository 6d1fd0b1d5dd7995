//! [`Sessions`]: clients that poll, with answers that were made beforehand.

use std::sync::LazyLock;

use crate::answers::numbered;
use crate::words::text;

static OK: LazyLock<Vec<u8>> = LazyLock::new(|| answer("ok"));
static JOINED: LazyLock<Vec<u8>> = LazyLock::new(|| answer(r#"40{"sid":"BBBBBBBBBBBBBBBBBBBB"}"#));
static ECHOES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| numbered(|number| answer(&format!(r#"43{number}["{}"]"#, text(number)))));

fn answer(body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {len}\
         \r\n\r\n{body}"
    )
    .into_bytes()
}

/// What a request asks for. The id of a session is its index, in twenty digits.
pub(crate) enum Request {
    Upgrade,
    Open,
    /// What there is for a session.
    Poll(usize),
    /// A session joins the namespace.
    Join(usize),
    /// A session echoes.
    Echo(usize),
}

impl Request {
    /// The first whole request, and its length.
    pub(crate) fn first(bytes: &[u8]) -> Option<(Self, usize)> {
        let head = 4 + bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let after = |name: &[u8]| {
            let at = bytes[..head].windows(name.len()).position(|window| window == name);
            at.map(|at| number(&bytes[at + name.len()..head]))
        };
        let Some(session) = after(b"&sid=") else {
            let upgrade = after(b"Upgrade: ").is_some();
            return Some((if upgrade { Self::Upgrade } else { Self::Open }, head));
        };
        if bytes[0] == b'G' {
            return Some((Self::Poll(session), head));
        }
        let len = after(b"Content-Length: ")?;
        let body = bytes.get(head..head + len)?;
        let request = if body == b"40" { Self::Join(session) } else { Self::Echo(session) };
        Some((request, head + len))
    }
}

/// The digits that come first.
fn number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// The sessions, whose requests come on connections `C`.
pub(crate) struct Sessions<C>(Vec<Session<C>>);

struct Session<C> {
    answered: usize,
    /// The connection whose GET waits.
    waiting: Option<C>,
    /// For the next GET.
    kept: Option<&'static [u8]>,
}

impl<C> Default for Sessions<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C> Sessions<C> {
    /// Answers a request that came on `from`; `write` writes to one connection.
    pub(crate) fn answer(&mut self, request: &Request, from: C, mut write: impl FnMut(&C, &[u8])) {
        match *request {
            Request::Upgrade => {}
            Request::Open => {
                let body = format!(
                    r#"0{{"sid":"{:020}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#,
                    self.0.len()
                );
                self.0.push(Session { answered: 0, waiting: None, kept: None });
                write(&from, &answer(&body));
            }
            Request::Poll(session) => {
                let session = &mut self.0[session];
                match session.kept.take() {
                    Some(bytes) => write(&from, bytes),
                    None => session.waiting = Some(from),
                }
            }
            Request::Join(session) => {
                write(&from, &OK);
                self.0[session].tell(&JOINED, write);
            }
            Request::Echo(session) => {
                write(&from, &OK);
                let session = &mut self.0[session];
                session.answered += 1;
                session.tell(&ECHOES[(session.answered - 1) % 90], write);
            }
        }
    }
}

impl<C> Session<C> {
    fn tell(&mut self, bytes: &'static [u8], mut write: impl FnMut(&C, &[u8])) {
        match self.waiting.take() {
            Some(waiting) => write(&waiting, bytes),
            None => self.kept = Some(bytes),
        }
    }
}
