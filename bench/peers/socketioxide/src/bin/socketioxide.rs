//! The server with the system's allocator.

#[tokio::main]
async fn main() {
    peer::run(None).await;
}
