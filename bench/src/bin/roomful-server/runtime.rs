//! On what threads the server runs. The variable `RUNTIME` chooses:
//!
//! - `threads`, as the hub has it and where nothing is chosen: a thread on each core, and what one of
//!   them has too much another takes;
//! - `one`: a single thread;
//! - `per-core`: on each core a thread of its own, with a listener of its own at the same port
//!   (`SO_REUSEPORT`), and a connection stays where it was accepted.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Barrier;
use std::{env, thread};

use roomful::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves at the port that is the only argument.
pub(crate) fn serve(io: &Server) -> Result<()> {
    let port: u16 = env::args().nth(1).ok_or("usage: roomful-server PORT")?.parse()?;
    let alone = Barrier::new(1);
    match env::var("RUNTIME").as_deref() {
        Ok("one") => run(&mut Builder::new_current_thread(), io, port, &alone),
        Ok("per-core") => per_core(io, port),
        Ok("threads") | Err(_) => run(&mut Builder::new_multi_thread(), io, port, &alone),
        Ok(other) => Err(format!("RUNTIME={other}: threads, one or per-core").into()),
    }
}

fn per_core(io: &Server, port: u16) -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    let all = Barrier::new(cores);
    let core = || {
        // As a text, which can leave the thread.
        run(&mut Builder::new_current_thread(), io, port, &all).map_err(|error| error.to_string())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(core)).collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread has panicked")??;
        }
        Ok(())
    })
}

/// Serves on one runtime. When `all` listen, one of them says so.
fn run(runtime: &mut Builder, io: &Server, port: u16, all: &Barrier) -> Result<()> {
    runtime.enable_all().build()?.block_on(async {
        let listener = listen(port)?;
        if all.wait().is_leader() {
            println!("ready");
        }
        io.serve_on(listener).await;
        Ok(())
    })
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket.listen(BACKLOG)?)
}
