//! A tiny chat: everybody's first real-time program. It serves its page, too.
use std::{env, error::Error, time::Duration};

use axum::{Router, response::Html, routing::get};
use roomful::{ConnectionFlow, Hello, Origins, Rate, Reason, Refusal, Server, Socket};
use tokio::net::TcpListener;

const NAME_CHARS_MAX: usize = 20;

#[derive(serde::Deserialize)]
struct Visitor {
    /// Whoever says none is a guest.
    #[serde(default)]
    name: String,
}

/// Who may come in.
async fn enter(hello: Hello) -> Result<(), Refusal> {
    let Visitor { name } = hello.auth()?;
    match name.chars().count() {
        0..=NAME_CHARS_MAX => Ok(()),
        _ => Err(Refusal::new(format!("a name has at most {NAME_CHARS_MAX} characters"))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Whoever says more waits for its turn.
    let flow = ConnectionFlow::new().pace(Rate::per_second(50).burst(100));
    let io = Server::builder().origins(Origins::Any).connection_flow(flow).build();
    io.on_connect(async |me: Socket| println!("user connected {}", me.id()));
    io.on_disconnect(async |me: Socket, _: Reason| println!("user disconnected {}", me.id()));
    io.on("message", async |me: Socket, text: String| {
        me.emit("message", format!("{} said {text}", &me.id()[..3]));
    });
    io.of("/").connect(enter);

    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((host.as_str(), port)).await?;
    println!("listening on port {}", listener.local_addr()?.port());
    println!("open http://{}", listener.local_addr()?);
    io.drain_on(roomful::stop_signal(), Duration::from_millis(500));
    let page = Router::new().route("/", get(async || Html(include_str!("index.html"))));
    io.serve_with(listener, page).await;
    Ok(())
}
