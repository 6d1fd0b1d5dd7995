use std::rc::Rc;

use roomful::{Server, Socket};

async fn count(me: Socket) {
    let one = Rc::new(1);
    let sure: Result<bool, _> = me.call("sure", ()).await;
    println!("{one} {sure:?}");
}

fn main() {
    Server::new().on("count", count);
}
