//! One loop over epoll, without any runtime.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::answers::{Peer, Told, Turn};
use crate::polling::Sessions;
use crate::rooms::Rooms;

const LISTENER: Token = Token(usize::MAX);

struct Client {
    stream: TcpStream,
    peer: Peer,
    /// Where it is.
    rooms: Vec<usize>,
}

#[derive(Default)]
struct Floor {
    clients: Vec<Option<Client>>,
    /// Places of clients that have gone.
    free: Vec<usize>,
    told: Told,
    rooms: Rooms<()>,
    sessions: Sessions<usize>,
    turn: Turn,
}

pub(crate) fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("ready");
    let mut buffer = vec![0; 64 * 1024];
    let mut floor = Floor::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    floor.accept(&poll, stream)?;
                }
            } else {
                floor.read(event.token().0, &mut buffer);
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, poll: &Poll, mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
        stream.set_nodelay(true)?;
        let at = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        self.clients[at] = Some(Client { stream, peer: Peer::default(), rooms: Vec::new() });
        Ok(())
    }

    fn read(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(client) = self.clients[at].as_mut() else {
            return;
        };
        match client.stream.read(buffer) {
            Ok(len @ 1..) => {
                self.turn.clear();
                client.peer.receive(&buffer[..len], &mut self.told, &mut self.turn);
                self.act(at);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => {
                for room in std::mem::take(&mut client.rooms) {
                    self.rooms.leave(room, at);
                }
                self.clients[at] = None;
                self.free.push(at);
            }
        }
    }

    fn act(&mut self, at: usize) {
        let Self { clients, rooms, sessions, turn, .. } = self;
        let Some(client) = clients[at].as_mut() else {
            return;
        };
        for &(room, enters) in &turn.moves {
            if enters {
                rooms.enter(room, at, ());
                client.rooms.push(room);
            } else {
                rooms.leave(room, at);
                client.rooms.retain(|&other| other != room);
            }
        }
        let mut write = |at: usize, bytes: &[u8]| {
            if let Some(client) = clients[at].as_mut() {
                write(&mut client.stream, bytes);
            }
        };
        write(at, &turn.out);
        if !turn.all.is_empty() {
            rooms.members(turn.room).iter().for_each(|&(member, ())| write(member, &turn.all));
        }
        for request in &turn.requests {
            sessions.answer(request, at, |&at, bytes| write(at, bytes));
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
