//! The floor: a server that speaks just enough to be measured, and answers with bytes that were
//! made beforehand. It checks nothing, keeps nothing and would fall to the first bad client; what
//! it costs is what the system calls and the event loop cost, so no real server can be cheaper.

mod answers;
mod epoll;
mod polling;
mod rooms;
mod tokio_loop;
#[path = "../../words.rs"]
mod words;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, port] = arguments.as_slice() else {
        return Err("usage: floor tokio|epoll PORT".into());
    };
    let port = port.parse()?;
    match kind.as_str() {
        "tokio" => tokio_loop::serve(port),
        "epoll" => epoll::serve(port),
        _ => Err("usage: floor tokio|epoll PORT".into()),
    }
}
