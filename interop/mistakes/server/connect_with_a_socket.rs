use roomful::{Refusal, Server, Socket};

async fn enter(me: Socket) -> Result<(), Refusal> {
    println!("{me:?}");
    Ok(())
}

fn main() {
    Server::new().of("/chat").connect(enter);
}
