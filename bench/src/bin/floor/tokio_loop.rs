//! One task per client on tokio's single-threaded runtime.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::answers::{Peer, Room};

/// What all clients share: one read buffer, the room and who is in it.
#[derive(Default)]
struct Shared {
    buffer: Vec<u8>,
    out: Vec<u8>,
    all: Vec<u8>,
    room: Room,
    members: Vec<Rc<TcpStream>>,
}

pub(crate) fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("ready");
        let shared =
            Rc::new(RefCell::new(Shared { buffer: vec![0; 64 * 1024], ..Shared::default() }));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(client(Rc::new(stream), Rc::clone(&shared)));
        }
    })
}

async fn client(stream: Rc<TcpStream>, shared: Rc<RefCell<Shared>>) {
    let mut peer = Peer::default();
    while stream.readable().await.is_ok() {
        let shared = &mut *shared.borrow_mut();
        match stream.try_read(&mut shared.buffer) {
            Ok(0) => break,
            Ok(len) => {
                shared.out.clear();
                shared.all.clear();
                let received = &shared.buffer[..len];
                if peer.receive(received, &mut shared.room, &mut shared.out, &mut shared.all) {
                    shared.members.push(Rc::clone(&stream));
                }
                write(&stream, &shared.out);
                for member in &shared.members {
                    write(member, &shared.all);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    shared.borrow_mut().members.retain(|member| !Rc::ptr_eq(member, &stream));
}

/// Writes at once what must fit: the floor has no queues.
fn write(stream: &TcpStream, bytes: &[u8]) {
    if !bytes.is_empty() {
        let written = stream.try_write(bytes);
        assert!(!matches!(written, Ok(len) if len < bytes.len()), "the client does not read");
    }
}
