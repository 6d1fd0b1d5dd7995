//! [`Lines`]: the standard input, line by line.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;

use super::failure::Failure;
use super::value::VALUE_BYTES_MAX;

/// Lines of the standard input. One is read ahead.
pub(crate) struct Lines {
    receiver: mpsc::Receiver<Result<String, Failure>>,
}

impl Lines {
    /// Starts to read. The thread ends with the input, or with the process.
    pub(crate) fn start() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Some(line) = read(&mut input).transpose() {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    return;
                }
            }
        });
        Self { receiver }
    }

    /// The next line, without its end; `None` behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        self.receiver.recv().await.transpose()
    }
}

fn read(input: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let bad = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("the standard input cannot be read: {why}"))
    };
    let mut line = Vec::new();
    let read = input.take(VALUE_BYTES_MAX + 1).read_until(b'\n', &mut line);
    let read = read.map_err(|e| bad(&e))?;
    if read == 0 {
        return Ok(None);
    }
    if read as u64 > VALUE_BYTES_MAX {
        return Err(bad(&"a line is longer than what may be sent, 16 MiB"));
    }
    let mut line = String::from_utf8(line).map_err(|_| bad(&"a line is not UTF-8"))?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_their_end_and_are_bounded() {
        let mut input = &b"a\r\nb\n\nc"[..];
        let lines: Vec<_> = std::iter::from_fn(|| read(&mut input).unwrap()).collect();
        assert_eq!(lines, ["a", "b", "", "c"]);
        assert!(read(&mut &b"\xff\n"[..]).is_err());
        assert!(read(&mut io::BufReader::new(io::repeat(b'x'))).is_err());
    }
}
