use roomful::{Hello, Refusal, Server};

fn main() {
    Server::new().connect(async |_: Hello| Err(Refusal::new("no")));
}
