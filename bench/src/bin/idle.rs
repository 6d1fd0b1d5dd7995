//! What an idle connection costs: opens WebSocket clients that have joined `/` and do nothing, and
//! prints the server's resident memory per connection.
//!
//! ```text
//! idle [CLIENTS] [WAVES]     default 10000 clients, 3 waves of connecting and disconnecting
//! ```
//!
//! The server is a process of its own (this program again, as `idle --serve`), so that the clients'
//! memory is not counted with it.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use roomful::{Server, Socket};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
                       Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// `40`, as a masked text frame; a mask of zeros changes nothing.
const CONNECT: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'4', b'0'];
/// How long the server may take to notice that a wave has gone.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("--serve") {
        return serve();
    }
    let clients = first.map_or(Ok(10_000), |text| text.parse())?;
    let waves = arguments.next().map_or(Ok(3), |text| text.parse())?;
    measure(clients, waves)
}

/// The server: prints its address, then on each line of its input how many clients it has.
#[tokio::main]
async fn serve() -> Result<()> {
    let io = Server::new();
    io.on("message", async |me: Socket, text: String| me.emit("message", text));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let counted = io.clone();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            println!("{} {}", counted.len(), counted.stats().connections);
        }
        // The program that measures has ended.
        std::process::exit(0);
    });
    io.serve_on(listener).await;
    Ok(())
}

fn measure(clients: usize, waves: usize) -> Result<()> {
    let mut server = Served::start()?;
    // One client first: what is made once is not a connection's.
    drop(connect(server.address)?);
    server.wait_for(0)?;
    let empty = server.resident_kib()?;
    println!("server with no client: {empty} KiB resident");
    for wave in 1..=waves {
        let started = Instant::now();
        let open: Vec<_> = (0..clients).map(|_| connect(server.address)).collect::<Result<_>>()?;
        server.wait_for(clients)?;
        let took = started.elapsed();
        let full = server.resident_kib()?;
        let each = (full.saturating_sub(empty)) as f64 / clients as f64;
        println!(
            "wave {wave}: {clients} idle clients in {:.1} s: {full} KiB resident, \
             {each:.2} KiB per connection",
            took.as_secs_f64(),
        );
        drop(open);
        server.wait_for(0)?;
        println!("wave {wave}: all gone: {} KiB resident", server.resident_kib()?);
    }
    Ok(())
}

/// Opens a WebSocket and joins `/`.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(UPGRADE.as_bytes())?;
    read_until(&mut stream, b"\"maxPayload\":1000000}")?;
    stream.write_all(CONNECT)?;
    read_until(&mut stream, b"\"}")?;
    Ok(stream)
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Result<()> {
    let mut read = Vec::new();
    let mut buffer = [0; 1024];
    while !read.ends_with(end) {
        match stream.read(&mut buffer)? {
            0 => {
                return Err(format!("the server closed: {}", String::from_utf8_lossy(&read)).into());
            }
            len => read.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(())
}

/// The server's process.
struct Served {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Served {
    fn start() -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the server has no output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim().parse()?;
        Ok(Self { process, output, address })
    }

    /// Waits until the server counts that many clients, and as many connections.
    fn wait_for(&mut self, clients: usize) -> Result<()> {
        let started = Instant::now();
        let wanted = format!("{clients} {clients}");
        loop {
            let input = self.process.stdin.as_mut().ok_or("the server has no input")?;
            writeln!(input)?;
            let mut line = String::new();
            self.output.read_line(&mut line)?;
            if line.trim() == wanted {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("the server counts {}, not {wanted}", line.trim()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn resident_kib(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
