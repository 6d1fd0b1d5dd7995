use roomful::{Hello, Server};

async fn enter(_: Hello) -> Result<(), String> {
    Err("no".to_owned())
}

fn main() {
    Server::new().of("/chat").connect(enter);
}
