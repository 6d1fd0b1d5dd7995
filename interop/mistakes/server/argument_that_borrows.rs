use roomful::{Server, Socket};

async fn say(_: Socket, text: &str) {
    println!("{text}");
}

fn main() {
    Server::new().on("say", say);
}
