use roomful::{EventError, Socket};

async fn say(_: Socket, text: String) -> Result<String, EventError> {
    Ok(text)
}

fn hi(me: Socket) {
    me.emit("hi", 1);
}

fn main() {
    roomful::check_handler::<(Socket, String), _>(say);
    roomful::check_handler::<(Socket, u32), _>(say);
    roomful::check_handler::<(Socket,), _>(hi);
}
