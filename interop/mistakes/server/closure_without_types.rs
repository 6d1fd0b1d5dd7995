use roomful::Server;

fn main() {
    let io = Server::new();
    io.on("message", async |me, text| me.emit("message", text));
}
