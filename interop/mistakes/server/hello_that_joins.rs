use roomful::{Hello, Refusal, Server};

async fn enter(hello: Hello) -> Result<(), Refusal> {
    hello.join("lobby");
    Ok(())
}

fn main() {
    Server::new().connect(enter);
}
