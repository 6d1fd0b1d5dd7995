//! The server and the client of `examples/shared-events`, and their events in a test.

#![allow(missing_docs, dead_code, unreachable_pub)]

#[path = "../shared-events/client.rs"]
mod client;
#[path = "../shared-events/server.rs"]
mod server;

use std::time::Duration;

use roomful_examples::{SAID, SAY, Said};

#[tokio::test]
async fn what_one_client_says_another_hears() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let site = server::site();
    let serving = tokio::spawn(async move { site.serve_on(listener).await });
    let ada = client::client(&url, "Ada".to_owned()).unwrap();
    let bob = client::client(&url, "Bob".to_owned()).unwrap();
    let mut heard = bob.events(SAID);
    let all = async {
        ada.connect().await.unwrap();
        bob.connect().await.unwrap();
        assert_eq!(ada.call(SAY, "hello".to_owned()).await.unwrap().unwrap(), 1);
        let said = heard.next().await.unwrap().unwrap();
        assert_eq!(said, Said { by: "Ada".to_owned(), text: "hello".to_owned() });
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("nothing came in time");
    serving.abort();
}
