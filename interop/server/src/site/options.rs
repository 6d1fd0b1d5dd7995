//! The command line.

use std::env;
use std::error::Error;
use std::time::Duration;

use roomful::Transports;

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) unix: Option<String>,
    pub(crate) msgpack: bool,
    pub(crate) deflate: bool,
    pub(crate) recovery: bool,
    pub(crate) transports: Transports,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Option<Duration>,
    pub(crate) max_payload: Option<usize>,
}

impl Options {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--port" => options.port = value()?.parse()?,
                "--unix" => options.unix = Some(value()?),
                "--parser" => options.msgpack = is_msgpack(&value()?)?,
                "--deflate" => options.deflate = true,
                "--recovery" => options.recovery = true,
                "--no-websocket" => options.transports = Transports::POLLING,
                "--no-polling" => options.transports = Transports::WEBSOCKET,
                "--ping-interval" => options.ping_interval = Some(milliseconds(&value()?)?),
                "--ping-timeout" => options.ping_timeout = Some(milliseconds(&value()?)?),
                "--max-payload" => options.max_payload = Some(value()?.parse()?),
                _ => return Err(format!("this server cannot do {word}").into()),
            }
        }
        Ok(options)
    }
}

fn milliseconds(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_millis(text.parse()?))
}

fn is_msgpack(parser: &str) -> Result<bool, String> {
    match parser {
        "default" => Ok(false),
        "msgpack" => Ok(true),
        other => Err(format!("there is no parser {other}")),
    }
}
