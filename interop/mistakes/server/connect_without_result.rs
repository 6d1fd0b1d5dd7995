use roomful::{Hello, Server};

async fn enter(hello: Hello) -> bool {
    hello.query("token").is_some()
}

fn main() {
    Server::new().of("/chat").connect(enter);
}
