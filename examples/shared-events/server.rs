//! A server of the shared events: `cargo run -p roomful-examples --bin shared-server`.

use roomful::{CallError, EventError, Server, Socket};
use roomful_examples::{NAME, SAID, SAY, Said};

/// The server, with all that it does.
pub fn site() -> Server {
    let io = Server::new();
    io.on(SAY, async |me: Socket, text: String| {
        let by: Result<String, CallError> = me.call(NAME, ()).await;
        let by = by.map_err(|_| EventError::new("no name", "the client did not say its name"))?;
        me.others().emit(SAID, Said { by, text });
        Ok::<_, EventError>(me.others().local_ids().len())
    });
    io
}

#[tokio::main]
async fn main() -> Result<(), roomful::ServeError> {
    site().serve("127.0.0.1:3000").await
}
