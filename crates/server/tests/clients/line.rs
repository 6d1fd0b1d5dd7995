//! What the lines of a dialogue say, before anything is played.

/// A part of a dialogue with a server and connections of its own.
pub struct Scene {
    pub title: String,
    pub settings: Vec<String>,
    /// What is played, with the number of the line in the file.
    pub lines: Vec<(usize, Line)>,
}

#[derive(Debug)]
pub enum Line {
    /// What follows is about this connection, which opens when it is named first.
    On(String),
    /// The bytes of the mask of each frame from here on.
    Mask([u8; 4]),
    /// So many seconds pass.
    Pass(u32),
    /// The client sends the head of a request.
    Request(Vec<String>),
    /// The client sends bytes that are no head and no frame, such as the body of its request.
    Body(String),
    /// The server answers with this head, without the headers of the second list, and this body.
    Answer(Vec<String>, Vec<String>, String),
    /// The client sends a frame, in pieces of so many bytes.
    Send(Frame, Option<usize>),
    /// The server sends a frame.
    Receive(Frame),
    /// The client ends the connection, in order or by a reset.
    Leave { in_order: bool },
    /// The server ends the connection.
    Ended,
    /// The socket of a namespace has left, for this reason.
    Left(String, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    /// A text that travels compressed.
    Deflated(String),
    Bytes(Vec<u8>),
    Ping(String),
    Pong(String),
    /// The code, if it has one, and what is said about it.
    Close(Option<u16>, String),
}

impl Scene {
    /// All scenes of a file.
    pub fn all(text: &str) -> Result<Vec<Self>, String> {
        let mut scenes: Vec<Self> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let number = at + 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(title) = line.strip_prefix("== ") {
                let title = title.to_owned();
                scenes.push(Self { title, settings: Vec::new(), lines: Vec::new() });
                continue;
            }
            let scene = scenes.last_mut().ok_or(format!("{number}: a line before any scene"))?;
            if let Some(setting) = line.strip_prefix("server ") {
                scene.settings.push(setting.to_owned());
                continue;
            }
            scene.add(number, line).map_err(|what| format!("{number}: {what}"))?;
        }
        if scenes.is_empty() {
            return Err("0: no scene".to_owned());
        }
        Ok(scenes)
    }

    fn add(&mut self, number: usize, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb, self.lines.last_mut()) {
            (">", Some((_, Line::Request(head)))) => head.push(rest.to_owned()),
            ("<", Some((_, Line::Answer(head, ..)))) if !rest.starts_with("HTTP/") => {
                head.push(rest.to_owned());
            }
            ("absent<", Some((_, Line::Answer(_, absent, _)))) => absent.push(rest.to_owned()),
            ("body<", Some((_, Line::Answer(.., body)))) => rest.clone_into(body),
            _ => {
                let line = Line::parse(line).ok_or(format!("no such line: {line}"))?;
                self.lines.push((number, line));
            }
        }
        Ok(())
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match verb {
            "on" => Self::On(rest.to_owned()),
            "mask" => Self::Mask(hex(rest)?.try_into().ok()?),
            "@" => Self::Pass(rest.strip_suffix('s')?.parse().ok()?),
            ">" => Self::Request(vec![rest.to_owned()]),
            "<" => Self::Answer(vec![rest.to_owned()], Vec::new(), String::new()),
            "body>" => Self::Body(rest.to_owned()),
            "end>" => Self::Leave { in_order: true },
            "reset>" => Self::Leave { in_order: false },
            "end<" => Self::Ended,
            "left" => {
                let (namespace, reason) = rest.split_once(' ')?;
                Self::Left(namespace.to_owned(), reason.to_owned())
            }
            "pieces" => {
                let (len, frame) = rest.split_once(' ')?;
                let (verb, rest) = frame.split_once(' ')?;
                let frame = Frame::parse(verb.strip_suffix('>')?, rest)?;
                Self::Send(frame, Some(len.parse().ok()?))
            }
            _ => match verb.strip_suffix('>') {
                Some(kind) => Self::Send(Frame::parse(kind, rest)?, None),
                None => Self::Receive(Frame::parse(verb.strip_suffix('<')?, rest)?),
            },
        })
    }
}

impl Frame {
    fn parse(kind: &str, rest: &str) -> Option<Self> {
        Some(match kind {
            "text" => Self::Text(rest.to_owned()),
            "deflated" => Self::Deflated(rest.to_owned()),
            "bytes" => Self::Bytes(hex(rest)?),
            "ping" => Self::Ping(rest.to_owned()),
            "pong" => Self::Pong(rest.to_owned()),
            "close" if rest.is_empty() => Self::Close(None, String::new()),
            "close" => {
                let (code, said) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::Close(Some(code.parse().ok()?), said.to_owned())
            }
            _ => return None,
        })
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}
