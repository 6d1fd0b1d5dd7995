use std::rc::Rc;

use roomful::Socket;

async fn count(me: Socket) {
    let one = Rc::new(1);
    let sure: Result<bool, _> = me.call("sure", ()).await;
    println!("{one} {sure:?}");
}

fn main() {
    roomful::check_handler::<(Socket,), _>(count);
}
