//! A client of the shared events: `cargo run -p roomful-examples --bin shared-client -- Ada`.

use roomful_client::Socket;
use roomful_examples::{NAME, SAID, SAY, Said};

/// A client of that name, which prints what others say.
pub fn client(url: &str, name: String) -> Result<Socket, roomful_client::BuildError> {
    let io = Socket::new(url)?;
    io.on(NAME, move |_: Socket| {
        let name = name.clone();
        async move { name }
    });
    io.on(SAID, async |_: Socket, said: Said| println!("{}: {}", said.by, said.text));
    Ok(io)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "somebody".to_owned());
    let io = client("http://127.0.0.1:3000", name)?;
    io.connect().await?;
    let heard = io.call(SAY, "hello".to_owned()).await?.map_err(|why| why.to_string())?;
    println!("{heard} others hear it");
    io.closed().await;
    Ok(())
}
