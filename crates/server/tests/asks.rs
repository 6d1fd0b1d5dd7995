//! Answers that come late, when what was asked is over: they go to no other question.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod support;

use std::future::IntoFuture;

use roomful::{Recovery, Server, Socket, SocketId};
use serde_json::Value;
use support::*;

/// The id of the question that comes next.
async fn asked(client: &mut Client) -> u64 {
    let packet = client.next().await;
    assert_eq!((packet.kind, &packet.data[0]), (2, &Value::from("q")), "{packet:?}");
    packet.ack.expect("a question")
}

/// Asks and forgets; gives the id of that.
async fn ask_in_vain(socket: &Socket, client: &mut Client) -> u64 {
    drop(socket.call::<_, _, u8>("q", ()));
    asked(client).await
}

/// Asks again, which the client answers after the question of before.
async fn late_answer_is_dropped(server: &Running, socket: &Socket, client: &mut Client, old: u64) {
    let unmatched = server.stats().acks_unmatched;
    let answer = tokio::spawn(socket.call::<_, _, u8>("q", ()).into_future());
    let new = asked(client).await;
    let namespace = prefix(socket.namespace());
    client.send(&format!("3{namespace}{old}[1]")).await;
    client.send(&format!("3{namespace}{new}[2]")).await;
    assert_eq!(within(answer).await.unwrap().unwrap(), 2, "the answer to another question");
    assert_eq!(server.stats().acks_unmatched, unmatched + 1);
    assert_eq!((old % 2, new % 2), (0, 0));
}

/// The one socket of a namespace.
fn only(server: &Running, namespace: &str) -> Socket {
    let all = server.nodes().filter_map(|io| io.find(namespace));
    let mut all = all.flat_map(|found| {
        let ids = found.everyone().local_ids();
        ids.into_iter().filter_map(move |id| found.socket(id))
    });
    let one = all.next().expect("one");
    assert!(all.next().is_none());
    one
}

#[tokio::test]
async fn of_a_socket_that_left_and_returned_on_its_connection() {
    let server = start(Server::new()).await;
    let mut client = server.client().await;
    let old = ask_in_vain(&socket_of(&server, &client), &mut client).await;
    client.send("1").await;
    client.id = client.join("/", "").await.unwrap();
    late_answer_is_dropped(&server, &socket_of(&server, &client), &mut client, old).await;
}

/// Joins `/` of a server with recovery: the client, and what it is to show to come back.
async fn returner(server: &Running) -> (Client, String) {
    let mut client = Client::open(server.address).await;
    client.send("0").await;
    let packet = client.next().await;
    client.id = packet.data["sid"].as_str().unwrap().to_owned();
    let claim = format!("0{{\"pid\":{}}}", packet.data["pid"]);
    (client, claim)
}

/// Comes back with the same id, on a new connection.
async fn back(server: &Running, id: &str, claim: &str) -> Client {
    let mut client = Client::open(server.address).await;
    client.send(claim).await;
    client.id = client.next().await.data["sid"].as_str().unwrap().to_owned();
    assert_eq!(client.id, id, "not recovered");
    client
}

#[tokio::test]
async fn of_a_socket_that_was_recovered() {
    let server = start(Server::builder().recovery(Recovery::new()).build()).await;
    let (mut client, claim) = returner(&server).await;
    let old = ask_in_vain(&socket_of(&server, &client), &mut client).await;
    let id = client.id.clone();
    drop(client);
    until("the connection gone", || server.stats().connections == 0).await;
    let mut client = back(&server, &id, &claim).await;
    late_answer_is_dropped(&server, &socket_of(&server, &client), &mut client, old).await;
}

#[tokio::test]
async fn of_a_socket_that_came_back_to_another_server_of_the_same_recovery() {
    let recovery = Recovery::new();
    let first = start(Server::builder().recovery(recovery.clone()).build()).await;
    let (mut client, claim) = returner(&first).await;
    let old = ask_in_vain(&socket_of(&first, &client), &mut client).await;
    let id = client.id.clone();
    drop(client);
    until("the connection gone", || first.stats().connections == 0).await;
    let second = start(Server::builder().recovery(recovery).build()).await;
    let mut client = back(&second, &id, &claim).await;
    late_answer_is_dropped(&second, &socket_of(&second, &client), &mut client, old).await;
}

#[tokio::test]
async fn of_a_child_that_has_ended_and_was_made_again() {
    let io = Server::new();
    io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.join("/room-1", "").await.unwrap();
    let old = ask_in_vain(&only(&server, "/room-1"), &mut client).await;
    client.send("1/room-1,").await;
    server.has_ended("/room-1").await;
    client.join("/room-1", "").await.unwrap();
    assert_eq!(server.stats().namespaces_made, 2);
    late_answer_is_dropped(&server, &only(&server, "/room-1"), &mut client, old).await;
}

#[tokio::test]
async fn of_a_broadcast_to_a_child_that_was_made_again() {
    let io = Server::new();
    let rooms = io.of_pattern("/room-{id}");
    let server = start(io).await;
    let mut client = Client::open(server.address).await;
    client.join("/room-1", "").await.unwrap();
    drop(rooms.everyone().call::<_, _, u8>("q", ()));
    let old = asked(&mut client).await;
    client.send("1/room-1,").await;
    server.has_ended("/room-1").await;
    let id = client.join("/room-1", "").await.unwrap();
    let answers = rooms.everyone().call::<_, _, u8>("q", ());
    let new = asked(&mut client).await;
    client.send(&format!("3/room-1,{old}[1]")).await;
    client.send(&format!("3/room-1,{new}[2]")).await;
    assert_eq!(within(answers.collect()).await, [(SocketId::parse(&id), 2)]);
    assert_eq!((old % 2, new % 2, server.stats().acks_unmatched), (1, 1, 1));
}

#[tokio::test]
async fn of_a_broadcast_of_another_server_of_the_same_recovery() {
    let recovery = Recovery::new();
    let first = start(Server::builder().recovery(recovery.clone()).build()).await;
    let (mut client, claim) = returner(&first).await;
    drop(first.everyone().call::<_, _, u8>("q", ()));
    let old = asked(&mut client).await;
    let id = client.id.clone();
    drop(client);
    until("the connection gone", || first.stats().connections == 0).await;
    let second = start(Server::builder().recovery(recovery).build()).await;
    let mut client = back(&second, &id, &claim).await;
    let answers = second.everyone().call::<_, _, u8>("q", ());
    let new = asked(&mut client).await;
    client.send(&format!("3{old}[1]")).await;
    client.send(&format!("3{new}[2]")).await;
    assert_eq!(within(answers.collect()).await, [(SocketId::parse(&id), 2)]);
}

/// Clients in Java, C++ and C# read ids as integers of 32 bits.
#[tokio::test]
async fn ids_fit_into_thirty_one_bits() {
    for _ in 0..20 {
        let server = start(Server::new()).await;
        let mut client = server.client().await;
        let own = ask_in_vain(&socket_of(&server, &client), &mut client).await;
        drop(server.everyone().call::<_, _, u8>("q", ()));
        let shared = asked(&mut client).await;
        assert!(own < 1 << 31 && shared < 1 << 31, "{own} {shared}");
    }
}
