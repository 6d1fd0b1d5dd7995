//! The victim as a process: it serves at a port of its own choice, and tells what it holds when it is asked.
//!
//! It writes its port to its output. For each line that it reads it writes one of JSON: the bytes that are live
//! on its heap, the most that were since the line before, and its counters.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::{io, thread};

use roomful::{Server, Stats};
use serde::Serialize;
use tokio::net::TcpSocket;
use tokio::runtime::Builder;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Bytes on the heap; zero where they are not counted.
#[derive(Default, Serialize)]
pub(crate) struct Heap {
    pub(crate) live: usize,
    pub(crate) peak: usize,
}

#[derive(Serialize)]
struct Report {
    heap: Heap,
    stats: Stats,
}

/// Serves until its input ends. `heap` reads what is on the heap, and begins to look for the next peak.
pub(crate) fn serve(
    io: &Server,
    heap: impl Fn() -> Heap + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    // As the hub runs it.
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        println!("{}", listener.local_addr()?.port());
        let (over, all) = tokio::sync::oneshot::channel::<()>();
        let server = io.clone();
        thread::spawn(move || {
            // When nobody reads or writes any more, the process has no purpose.
            let _ = answer(&server, heap);
            drop(over);
        });
        tokio::select! {
            () = io.serve_on(listener) => {}
            _ = all => {}
        }
        Ok(())
    })
}

fn answer(io: &Server, heap: impl Fn() -> Heap) -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lock().lines() {
        line?;
        let report = Report { heap: heap(), stats: io.stats() };
        let mut output = io::stdout().lock();
        writeln!(output, "{}", serde_json::to_string(&report)?)?;
        output.flush()?;
    }
    Ok(())
}
