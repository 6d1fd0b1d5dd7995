//! How clients come, are known, leave, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomful_client::{
    Builder, ConnectError, DisconnectReason, Disconnection, Reconnection, Socket, Status,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::events::next;
use crate::bench::{Bench, Guest, Way, start, welcomed};
use crate::outcome::{Failure, Outcome, holds, same};

type Answer = Result<Outcome, Failure>;

pub(super) async fn welcome(bench: Bench) -> Answer {
    let url = format!("http://127.0.0.1:{}/?from=url&odd=a%20b", bench.servers.main.port());
    let builder = bench.builder_of(&url)?.query("more", "ü&=")?.header("x-test", "tested")?;
    let socket = builder.build()?.socket("/");
    socket.auth(json!({ "who": "ada" }))?;
    let welcome = welcomed(&socket).await?;
    let query = &welcome["query"];
    for (name, wanted) in [
        ("from", "url"),
        ("odd", "a b"),
        ("more", "ü&="),
        ("transport", bench.way.first()),
        ("EIO", if bench.site.is_old() { "3" } else { "4" }),
    ] {
        same(name, &query[name], &json!(wanted))?;
    }
    same("the header", &welcome["headers"]["x-test"], &json!("tested"))?;
    same("the transport", &welcome["transport"], &json!(bench.way.first()))?;
    same("recovered", &welcome["recovered"], &json!(false))?;
    if bench.site.can("auth") {
        same("auth", &welcome["auth"]["who"], &json!("ada"))?;
    }
    Ok(Outcome::Passed)
}

pub(super) async fn auth(bench: Bench) -> Answer {
    let socket = bench.builder()?.build()?.socket("/private");
    socket.auth(json!({ "token": "letmein", "user": "ada & co" }))?;
    let welcome = welcomed(&socket).await?;
    same("auth", &welcome["auth"]["user"], &json!("ada & co"))?;
    same("who", socket.call::<_, _, String>("whoami", ()).await?, "ada & co")?;
    Ok(Outcome::Passed)
}

pub(super) async fn auth_made_anew(bench: Bench) -> Answer {
    let socket = bench.builder()?.build()?.socket("/private");
    let made = Arc::new(AtomicU32::new(0));
    let make = Arc::clone(&made);
    socket.auth_with(move || {
        let n = make.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            json!({ "token": "letmein", "user": format!("user {n}") })
        }
    });
    for n in 0..3 {
        welcomed(&socket).await?;
        let who: String = socket.call("whoami", ()).await?;
        same("who", who, format!("user {n}"))?;
        socket.disconnect();
        socket.closed().await;
    }
    same("how often it was made", made.load(Ordering::Relaxed), 3)?;
    Ok(Outcome::Passed)
}

pub(super) async fn cookies(bench: Bench) -> Answer {
    for (keeps, wanted) in [(true, json!("site=1")), (false, Value::Null)] {
        let guest = bench.enter(bench.builder()?.cookies(keeps), "/").await?;
        same("the cookie at first", &guest.welcome["headers"]["cookie"], &Value::Null)?;
        // Closed, so that the next one is another handshake.
        guest.manager().close().await;
        let welcome = welcomed(&guest.socket).await?;
        same("the cookie then", &welcome["headers"]["cookie"], &wanted)?;
    }
    Ok(Outcome::Passed)
}

pub(super) async fn namespaces(bench: Bench) -> Answer {
    let manager = bench.builder()?.build()?;
    let sockets = ["/", "/a", "/b", "/private"].map(|name| manager.socket(name));
    sockets[3].auth(json!({ "token": "letmein", "user": "ada" }))?;
    for welcome in sockets.each_ref().map(|socket| async { welcomed(socket).await }) {
        welcome.await?;
    }
    let guests = sockets.map(|socket| Guest { socket, welcome: Value::Null });
    if bench.way == Way::Upgrade {
        guests[1].upgraded().await?;
    }
    for guest in &guests[1..3] {
        let mut echo = guest.socket.events::<_, (String, i32, String)>("echo");
        guest.emit("echo", (1, "two"));
        let wanted = (guest.socket.namespace().to_owned(), 1, "two".to_owned());
        same("the echo", next(&mut echo).await?, wanted)?;
        super::events::bytes_in_namespace(guest).await?;
    }
    same("who", guests[3].ask::<String>("whoami", ()).await?, "ada")?;
    // One leaves, and the others stay.
    guests[1].socket.disconnect();
    guests[1].socket.closed().await;
    same("the sum", guests[0].ask::<i64>("sum", (1, 2)).await?, 3)?;
    same("the answer", guests[2].ask::<i64>("ask", 3).await?, 3)?;
    welcomed(&guests[1].socket).await?;
    same("the answer", guests[1].ask::<i64>("ask", 4).await?, 4)?;
    same("connections", manager.stats().connections, 1)?;
    Ok(Outcome::Passed)
}

pub(super) async fn dynamic_namespaces(bench: Bench) -> Answer {
    let manager = bench.builder()?.build()?;
    for name in ["/dyn-7", "/dyn-123"] {
        let socket = manager.socket(name);
        welcomed(&socket).await?;
        let mut echo = socket.events::<_, (String, i32)>("echo");
        socket.emit("echo", 1);
        same("the echo", next(&mut echo).await?, (name.to_owned(), 1))?;
    }
    same("connections", manager.stats().connections, 1)?;
    Ok(Outcome::Passed)
}

pub(super) async fn refusals(bench: Bench) -> Answer {
    let manager = bench.builder()?.build()?;
    let main = manager.socket("/");
    welcomed(&main).await?;
    let unknown = if bench.site.can("message") { "Invalid namespace" } else { "Unable to connect" };
    let not_allowed = if bench.site.is_old() { "" } else { "not allowed" };
    for (name, message, data) in [
        ("/none", unknown, None),
        ("/dyn-x", unknown, None),
        ("/private", not_allowed, Some(json!({ "code": 401 }))),
    ] {
        let socket = manager.socket(name);
        let refused = socket.connect().await;
        let Err(ConnectError::Refused(refusal)) = &refused else {
            return Err(format!("{name}: {refused:?}").into());
        };
        same(name, (refusal.message.as_str(), &refusal.data), (message, &data))?;
        holds("it is still active", !socket.is_active())?;
        holds(format!("{:?}", socket.status()), matches!(socket.status(), Status::Failed(_)))?;
    }
    // It is let in, once it says the word; and the others have heard of nothing.
    let private = manager.socket("/private");
    private.auth(json!({ "token": "letmein" }))?;
    welcomed(&private).await?;
    same("the sum", main.call::<_, _, i64>("sum", (1, 2)).await?, 3)?;
    same("connections", manager.stats().connections, 1)?;
    Ok(Outcome::Passed)
}

/// Tells of each disconnection.
fn farewells(socket: &Socket) -> UnboundedReceiver<Disconnection> {
    let (tell, told) = unbounded_channel();
    socket.on_disconnect(move |_, why| {
        let _ = tell.send(why);
        async {}
    });
    told
}

pub(super) async fn leave_me(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let mut farewells = farewells(&guest.socket);
    guest.emit("leave-me", ());
    let why = farewells.recv().await.ok_or("no farewell")?;
    same("the reason", why.reason.to_string(), "io server disconnect")?;
    let Status::Disconnected(why) = guest.socket.closed().await else {
        return Err(format!("{:?}", guest.socket.status()).into());
    };
    same("the reason", why.reason, DisconnectReason::ServerDisconnect)?;
    holds("it is still active", !guest.socket.is_active())?;
    // It comes back when it is told to.
    welcomed(&guest.socket).await?;
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    Ok(Outcome::Passed)
}

pub(super) async fn close_me(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let mut farewells = farewells(&guest.socket);
    guest.emit("close-me", ());
    let why = farewells.recv().await.ok_or("no farewell")?;
    match why.reason {
        DisconnectReason::ServerDisconnect => {
            guest.socket.closed().await;
            holds("it is still active", !guest.socket.is_active())?;
            welcomed(&guest.socket).await?;
        }
        // The goodbye to the namespace came too late: then it comes back by itself.
        DisconnectReason::TransportClose => guest.socket.connected().await?,
        other => return Err(format!("the reason was {other}").into()),
    }
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    Ok(Outcome::Passed)
}

/// A poll waits there then: see the README. It was sent when the answer had come, and so before what the
/// server has taken since.
async fn is_waiting(guest: &Guest) -> Result<(), Failure> {
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    guest.emit("never", ());
    guest.socket.drained().await;
    Ok(())
}

/// A client that is recovered also by servers that give a socket back to nobody but who shows the same
/// cookies: the cookie of the site comes only with the answer to the first handshake.
async fn recoverable(bench: &Bench) -> Result<Guest, Failure> {
    bench.enter(bench.builder()?.cookies(false), "/").await
}

fn is_cut(why: &Disconnection) -> Result<(), Failure> {
    let reason = why.reason.to_string();
    holds(why.to_string(), ["transport close", "transport error"].contains(&&*reason))
}

pub(super) async fn cut_me(bench: Bench) -> Answer {
    let guest = recoverable(&bench).await?;
    let mut farewells = farewells(&guest.socket);
    let mut welcomes = guest.socket.events::<_, (Value,)>("welcome");
    is_waiting(&guest).await?;
    guest.emit("cut-me", ());
    is_cut(&farewells.recv().await.ok_or("no farewell")?)?;
    let (welcome,) = next(&mut welcomes).await?;
    same("the id", welcome["id"].as_str(), guest.socket.id().as_deref())?;
    let recovers = bench.site.can("recovery");
    same("recovered", guest.socket.is_recovered(), recovers)?;
    same("the id is that of before", welcome["id"] == guest.welcome["id"], recovers)?;
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    holds("the connection is the same", guest.manager().stats().connections >= 2)?;
    Ok(Outcome::Passed)
}

pub(super) async fn buffering_away(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let mut farewells = farewells(&guest.socket);
    let mut echo = guest.socket.events::<_, i64>("echo");
    is_waiting(&guest).await?;
    guest.emit("cut-me", ());
    is_cut(&farewells.recv().await.ok_or("no farewell")?)?;
    let many = bench.at_once(100);
    for n in 1..many {
        guest.emit("echo", n);
    }
    let sum = guest.socket.call::<_, _, i64>("sum", (20, 22));
    for n in 1..many {
        same("the echo", next(&mut echo).await?, n)?;
    }
    same("the sum", sum.await?, 42)?;
    Ok(Outcome::Passed)
}

pub(super) async fn recovery(bench: Bench) -> Answer {
    if !bench.site.can("recovery") {
        return Ok(Outcome::NotThere("recovery"));
    }
    let guest = recoverable(&bench).await?;
    let mut numbers = guest.socket.events::<_, i64>("number");
    let mut welcomes = guest.socket.events::<_, (Value,)>("welcome");
    // What is only its own does not come again, and what comes later has an offset.
    is_waiting(&guest).await?;
    guest.emit("cut-and-send", 100);
    let (welcome,) = next(&mut welcomes).await?;
    same("recovered", &welcome["recovered"], &json!(true))?;
    same("the id", &welcome["id"], &guest.welcome["id"])?;
    holds("the client does not say recovered", guest.socket.is_recovered())?;
    for n in 0..100 {
        same("the number", next(&mut numbers).await?, n)?;
    }
    same("the answer", guest.ask::<i64>("burst", 1).await?, 1)?;
    same("the next number", next(&mut numbers).await?, 0)?;
    Ok(Outcome::Passed)
}

pub(super) async fn again(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let mut farewells = farewells(&guest.socket);
    let mut before = guest.welcome["id"].clone();
    for _ in 0..3 {
        guest.socket.disconnect();
        let why = farewells.recv().await.ok_or("no farewell")?;
        same("the reason", why.reason.to_string(), "io client disconnect")?;
        guest.socket.closed().await;
        let welcome = welcomed(&guest.socket).await?;
        holds("the id is that of before", welcome["id"] != before)?;
        before = welcome["id"].clone();
        same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    }
    Ok(Outcome::Passed)
}

/// Who leaves is heard to the end.
pub(super) async fn last_words(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let key = bench.key();
    guest.emit("flaky", (&key, 9, "value"));
    guest.manager().close().await;
    let other = bench.join().await?;
    same("what was said last", other.ask::<i64>("seen", &key).await?, 1)?;
    Ok(Outcome::Passed)
}

/// Comes back soon.
fn hasty(builder: Builder) -> Builder {
    builder.reconnection(Reconnection::every(Duration::from_millis(20)))
}

pub(super) async fn gone(bench: Bench) -> Answer {
    let server = start(bench.site, &[]).await?;
    let few = Reconnection::every(Duration::from_millis(20)).attempts(3);
    let guest = bench.enter(bench.builder_at(&server)?.reconnection(few), "/").await?;
    let mut farewells = farewells(&guest.socket);
    let call = guest.socket.call::<_, _, i64>("never", ());
    is_waiting(&guest).await?;
    server.kill().await?;
    is_cut(&farewells.recv().await.ok_or("no farewell")?)?;
    let asked = call.await;
    holds(format!("{asked:?}"), matches!(asked, Err(roomful_client::CallError::Disconnected)))?;
    let status = guest.socket.closed().await;
    let Status::Failed(error) = &status else {
        return Err(format!("{status:?}").into());
    };
    let told = error.to_string();
    holds(told.clone(), told.contains("cannot reach the server") && told.contains("refused"))?;
    same("attempts that failed", guest.manager().stats().failures, 3)?;
    holds("it is still active", !guest.socket.is_active())?;
    Ok(Outcome::Passed)
}

pub(super) async fn comes_back(bench: Bench) -> Answer {
    let server = start(bench.site, &[]).await?;
    let port = server.port().to_string();
    let guest = bench.enter(hasty(bench.builder_at(&server)?), "/").await?;
    let mut welcomes = guest.socket.events::<_, (Value,)>("welcome");
    is_waiting(&guest).await?;
    server.kill().await?;
    let mut watch = guest.socket.watch();
    watch.wait_for(|status| matches!(status, Status::Waiting { attempt: 2.., .. })).await?;
    let server = start(bench.site, &["--port", &port]).await?;
    guest.socket.connected().await?;
    next(&mut welcomes).await?;
    same("the sum", guest.ask::<i64>("sum", (1, 2)).await?, 3)?;
    guest.manager().close().await;
    server.end().await?;
    Ok(Outcome::Passed)
}

pub(super) async fn remembers(bench: Bench) -> Answer {
    if bench.way != Way::Upgrade {
        return Ok(Outcome::OtherWay);
    }
    for (remembers, then) in [(true, "websocket"), (false, "polling")] {
        let guest = bench.enter(bench.builder()?.remember_upgrade(remembers), "/").await?;
        same("the transport", &guest.welcome["transport"], &json!("polling"))?;
        guest.manager().close().await;
        let welcome = welcomed(&guest.socket).await?;
        same("the transport then", &welcome["transport"], &json!(then))?;
    }
    Ok(Outcome::Passed)
}
