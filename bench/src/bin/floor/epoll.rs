//! One loop over epoll, without any runtime.

use std::io::{Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::answers::{Peer, Room};

const LISTENER: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    peer: Peer,
}

pub(crate) fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("ready");
    let (mut buffer, mut out, mut all) = (vec![0; 64 * 1024], Vec::new(), Vec::new());
    let (mut room, mut members) = (Room::default(), Vec::new());
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut free = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let at = free.pop().unwrap_or_else(|| {
                        clients.push(None);
                        clients.len() - 1
                    });
                    poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
                    clients[at] = Some(Client { stream, peer: Peer::default() });
                }
                continue;
            }
            let at = event.token().0;
            let Some(client) = clients[at].as_mut() else {
                continue;
            };
            match client.stream.read(&mut buffer) {
                Ok(0) => {
                    clients[at] = None;
                    free.push(at);
                    members.retain(|&member| member != at);
                }
                Ok(len) => {
                    out.clear();
                    all.clear();
                    if client.peer.receive(&buffer[..len], &mut room, &mut out, &mut all) {
                        members.push(at);
                    }
                    write(&mut client.stream, &out);
                    if !all.is_empty() {
                        for &member in &members {
                            if let Some(client) = clients[member].as_mut() {
                                write(&mut client.stream, &all);
                            }
                        }
                    }
                }
                Err(_) => {}
            }
        }
    }
}

/// Writes at once what must fit: the floor has no queues.
fn write(stream: &mut TcpStream, bytes: &[u8]) {
    if !bytes.is_empty() {
        let written = stream.write(bytes);
        assert!(!matches!(written, Ok(len) if len < bytes.len()), "the client does not read");
    }
}
