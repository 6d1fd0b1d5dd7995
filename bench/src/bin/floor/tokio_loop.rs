//! One task per client on tokio's single-threaded runtime.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::answers::{Peer, Told, Turn};
use crate::polling::Sessions;
use crate::rooms::Rooms;

/// What all clients share.
#[derive(Default)]
struct Shared {
    buffer: Vec<u8>,
    turn: Turn,
    told: Told,
    rooms: Rooms<Rc<TcpStream>>,
    sessions: Sessions<Rc<TcpStream>>,
}

/// One client: its number, its connection and where it is.
struct Client {
    who: usize,
    stream: Rc<TcpStream>,
    peer: Peer,
    rooms: Vec<usize>,
}

pub(crate) fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("ready");
        let shared =
            Rc::new(RefCell::new(Shared { buffer: vec![0; 64 * 1024], ..Shared::default() }));
        for who in 0.. {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (stream, peer) = (Rc::new(stream), Peer::default());
            let client = Client { who, stream, peer, rooms: Vec::new() };
            tokio::task::spawn_local(client.run(Rc::clone(&shared)));
        }
        Ok(())
    })
}

impl Client {
    async fn run(mut self, shared: Rc<RefCell<Shared>>) {
        while self.stream.readable().await.is_ok() {
            let shared = &mut *shared.borrow_mut();
            match self.stream.try_read(&mut shared.buffer) {
                Ok(0) => break,
                Ok(len) => {
                    shared.turn.clear();
                    let received = &shared.buffer[..len];
                    self.peer.receive(received, &mut shared.told, &mut shared.turn);
                    self.act(&shared.turn, &mut shared.rooms, &mut shared.sessions);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        for room in self.rooms {
            shared.borrow_mut().rooms.leave(room, self.who);
        }
    }

    fn act(
        &mut self,
        turn: &Turn,
        rooms: &mut Rooms<Rc<TcpStream>>,
        sessions: &mut Sessions<Rc<TcpStream>>,
    ) {
        for &(room, enters) in &turn.moves {
            if enters {
                rooms.enter(room, self.who, Rc::clone(&self.stream));
                self.rooms.push(room);
            } else {
                rooms.leave(room, self.who);
                self.rooms.retain(|&other| other != room);
            }
        }
        write(&self.stream, &turn.out);
        if !turn.all.is_empty() {
            rooms.members(turn.room).iter().for_each(|(_, member)| write(member, &turn.all));
        }
        for request in &turn.requests {
            sessions.answer(request, Rc::clone(&self.stream), |to, bytes| write(to, bytes));
        }
    }
}

/// Writes at once what must fit: the floor has no queues.
fn write(stream: &TcpStream, bytes: &[u8]) {
    if !bytes.is_empty() {
        let written = stream.try_write(bytes);
        assert!(!matches!(written, Ok(len) if len < bytes.len()), "the client does not read");
    }
}
