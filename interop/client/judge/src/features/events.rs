//! Events and acks, both ways.

use std::sync::Arc;
use std::time::Duration;

use roomful_client::{Args, Bytes, CallError, Socket};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::bench::{Bench, Guest, Way};
use crate::outcome::{Failure, Outcome, holds, same};

type Answer = Result<Outcome, Failure>;

/// Some of each kind of JSON.
pub(super) fn values() -> Vec<Value> {
    vec![
        json!("text"),
        json!("snow 雪 😀 \" \\ \u{2028}"),
        json!(1),
        json!(-2.5),
        json!(true),
        Value::Null,
        json!([]),
        json!({}),
        json!([1, [2, { "three": [null] }]]),
        json!({ "a": { "b": "c" } }),
        json!(9_007_199_254_740_991_i64),
    ]
}

/// What comes back of an echo, without the offset of a server that recovers.
async fn echoed(guest: &Guest, args: &Args) -> Result<Vec<Value>, Failure> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    guest.socket.once("echo", move |_: Socket, args: Args| {
        let tell = tell.lock().ok().and_then(|mut tell| tell.take());
        async move {
            if let Some(tell) = tell {
                let _ = tell.send(args);
            }
        }
    });
    guest.emit("echo", args);
    let found = told.await?;
    let count = args.iter().count();
    found.iter().take(count).map(|json| Ok(serde_json::from_slice(json)?)).collect()
}

pub(super) async fn echo(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    for value in values() {
        let found = echoed(&guest, &Args::new(&(&value,))?).await?;
        same("the echo", found, [value])?;
    }
    same(
        "the echo of nothing",
        echoed(&guest, &Args::new(&())?).await?,
        [(); 0].map(|()| json!(0)),
    )?;
    let all = values();
    let several = Args::new(&(&all[0], &all[1], &all[2], &all[3], &all[5], &all[8], &all[9]))?;
    let wanted: Vec<_> = [0, 1, 2, 3, 5, 8, 9].map(|i| all[i].clone()).into();
    same("the echo of several", echoed(&guest, &several).await?, wanted)?;
    Ok(Outcome::Passed)
}

/// Servers that recover put an offset behind the arguments of an event: who reads the others as a type
/// must not mind.
pub(super) async fn offsets(bench: Bench) -> Answer {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Heard {
        Echo(String),
    }
    let guest = bench.join().await?;
    let mut one = guest.socket.events::<_, String>("echo");
    let mut as_tuple = guest.socket.events::<_, (String,)>("echo");
    let mut as_enum = guest.socket.all_events::<Heard>();
    guest.emit("echo", "text");
    same("one argument", next(&mut one).await?, "text")?;
    same("one as a tuple", next(&mut as_tuple).await?, ("text".to_owned(),))?;
    same("one as an enum", next(&mut as_enum).await?, Heard::Echo("text".to_owned()))?;
    let mut two = guest.socket.events::<_, (i64, String)>("echo");
    guest.emit("echo", (2, "words"));
    same("two arguments", next(&mut two).await?, (2, "words".to_owned()))?;
    Ok(Outcome::Passed)
}

/// The next event of a stream.
pub(super) async fn next<T: DeserializeOwned>(
    events: &mut roomful_client::Events<T>,
) -> Result<T, Failure> {
    Ok(events.next().await.ok_or("the stream has ended")??)
}

/// Bytes at several depths.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Nested {
    name: String,
    parts: Vec<Bytes>,
    deep: Vec<Deep>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Deep {
    er: Bytes,
    n: i32,
}

pub(super) fn nested() -> Nested {
    let all: Vec<u8> = (0..=255).collect();
    Nested {
        name: "bytes".to_owned(),
        parts: vec![Bytes::from_static(&[1, 2, 3]), Bytes::new(), all.into()],
        deep: vec![Deep { er: Bytes::from_static(&[255, 0]), n: 1 }],
    }
}

/// Bytes come back from events and from acks.
pub(super) async fn bytes_come_back(guest: &Guest) -> Result<(), Failure> {
    let mut echo = guest.socket.events::<_, (Bytes, Nested)>("echo");
    let first = Bytes::from_static(b"\x00first\xff");
    guest.emit("echo", (&first, nested()));
    same("the echo of bytes", next(&mut echo).await?, (first.clone(), nested()))?;
    let found: (String, Nested, Bytes) =
        guest.ask_all("binary-ask", ("text", nested(), &first)).await?;
    same("the answer of bytes", found, ("text".to_owned(), nested(), first))?;
    Ok(())
}

/// Bytes in a namespace that only acks them.
pub(super) async fn bytes_in_namespace(guest: &Guest) -> Result<(), Failure> {
    let found: (String, Nested) = guest.ask_all("ask", ("text", nested())).await?;
    same("the answer of bytes", found, ("text".to_owned(), nested()))
}

pub(super) async fn binary(bench: Bench) -> Answer {
    bytes_come_back(&bench.join().await?).await?;
    Ok(Outcome::Passed)
}

/// Acks of all kinds of values, one after the other.
pub(super) async fn answers_come_back(guest: &Guest) -> Result<(), Failure> {
    for value in values() {
        same("the answer", guest.ask::<Value>("ask", (&value,)).await?, value)?;
    }
    same("the answer of nothing", guest.ask::<Args>("ask", ()).await?.is_empty(), true)?;
    same("the sum", guest.ask::<i64>("sum", (2, 3)).await?, 5)?;
    let two: (String, i32) = guest.ask_all("ask", ("two", 2)).await?;
    same("two answers", two, ("two".to_owned(), 2))?;
    same("the slow answer", guest.ask::<String>("slow", (10, "late")).await?, "late")
}

pub(super) async fn acks(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let names: Vec<String> = guest.ask("names", ()).await?;
    same("what the server says that it cannot do", names, bench.site.cannot)?;
    answers_come_back(&guest).await?;
    Ok(Outcome::Passed)
}

pub(super) async fn many_acks(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let many = bench.at_once(500);
    // Later ones are answered first.
    let wait = |n: i64| if n % 2 == 0 { "ask" } else { "slow" };
    let calls: Vec<_> = (0..many)
        .map(|n| match wait(n) {
            "ask" => guest.socket.call::<_, _, i64>("ask", n),
            _ => guest.socket.call("slow", (20 - n % 20, n)),
        })
        .collect();
    for (n, call) in (0..many).zip(calls) {
        same("the answer", call.await?, n)?;
    }
    Ok(Outcome::Passed)
}

pub(super) async fn answers(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let many = bench.at_once(50);
    // All are asked before one is answered.
    let all = Arc::new(Barrier::new(usize::try_from(many)?));
    guest.socket.on("question", move |_: Socket, i: i64| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            i * 2
        }
    });
    let mut answered = guest.socket.events::<_, (Vec<i64>,)>("answered");
    guest.emit("question-me", many);
    let wanted: Vec<_> = (0..many).map(|i| i * 2).collect();
    same("the answers", next(&mut answered).await?.0, wanted)?;
    Ok(Outcome::Passed)
}

pub(super) async fn timeouts(bench: Bench) -> Answer {
    let guest = bench.join().await?;
    let short = Duration::from_millis(1);
    // Not answered before the server is told to.
    let late = guest.socket.call::<_, _, String>("hold", "late").timeout(short);
    let never = guest.socket.call::<_, _, String>("never", ()).timeout(short);
    for (what, result) in [("late", late.await), ("never", never.await)] {
        holds(format!("{what}: {result:?}"), matches!(result, Err(CallError::Timeout)))?;
    }
    same("let go", guest.ask::<bool>("let-go", ()).await?, true)?;
    // The late one has come when this one comes.
    same("the sum", guest.ask::<i64>("sum", (20, 22)).await?, 42)?;
    same("connections", guest.manager().stats().connections, 1)?;
    Ok(Outcome::Passed)
}

pub(super) async fn rooms(bench: Bench) -> Answer {
    let (one, other, third) = tokio::try_join!(bench.join(), bench.join(), bench.join())?;
    let mut heard = [&one, &other, &third].map(|guest| guest.socket.events::<_, String>("said"));
    let room = bench.key();
    same("joined", one.ask::<bool>("join", &room).await?, true)?;
    same("joined", other.ask::<bool>("join", &room).await?, true)?;
    let say = async |guest: &Guest, text: &str| guest.ask::<bool>("say", (&room, text)).await;
    say(&one, "hello").await?;
    say(&third, "from outside").await?;
    same("left", other.ask::<bool>("leave", &room).await?, true)?;
    say(&third, "again").await?;
    // The last that each hears: before it nothing else may come.
    let end = bench.key();
    for guest in [&one, &other, &third] {
        same("joined", guest.ask::<bool>("join", &end).await?, true)?;
    }
    let judge = bench.join().await?;
    judge.ask::<bool>("say", (&end, "end")).await?;
    let wanted: [&[&str]; 3] =
        [&["from outside", "again", "end"], &["hello", "from outside", "end"], &["end"]];
    for (heard, wanted) in heard.iter_mut().zip(wanted) {
        for text in wanted {
            same("what was heard", next(heard).await?, *text)?;
        }
    }
    Ok(Outcome::Passed)
}

pub(super) async fn broadcast(bench: Bench) -> Answer {
    let mut guests = Vec::new();
    for _ in 0..5 {
        guests.push(bench.join().await?);
    }
    let room = bench.key();
    let mut heard = Vec::new();
    for guest in &guests {
        heard.push(guest.socket.events::<_, i64>("said"));
        guest.ask::<bool>("join", &room).await?;
    }
    for n in 0..10 {
        guests[0].ask::<bool>("say", (&room, n)).await?;
    }
    // What the first hears is the first thing that another says.
    guests[1].ask::<bool>("say", (&room, 10)).await?;
    same("the first heard", next(&mut heard[0]).await?, 10)?;
    for heard in &mut heard[1..] {
        for n in 0..10 {
            same("heard", next(heard).await?, n)?;
        }
    }
    Ok(Outcome::Passed)
}

pub(super) async fn burst(bench: Bench) -> Answer {
    const MANY: i64 = 10_000;
    let guest = bench.join().await?;
    let mut numbers = guest.socket.events::<_, i64>("number");
    let reading = async {
        for n in 0..MANY {
            same("the number", next(&mut numbers).await?, n)?;
        }
        Ok::<_, Failure>(())
    };
    // The answer comes behind all of them, which takes some servers seconds, and more where others are busy.
    let asked = guest.socket.call::<_, _, i64>("burst", MANY).timeout(crate::PATIENCE);
    let asked = async { Ok::<_, Failure>(asked.await?) };
    let (asked, ()) = tokio::try_join!(asked, reading)?;
    same("the answer", asked, MANY)?;
    Ok(Outcome::Passed)
}

pub(super) async fn big(bench: Bench) -> Answer {
    const LENGTH: usize = 1_000_000;
    let guest = bench.join().await?;
    let mut big = guest.socket.events::<_, String>("big");
    guest.emit("big", LENGTH);
    holds("a big text came wrong", next(&mut big).await? == "x".repeat(LENGTH))?;
    if bench.way == Way::Polling && !bench.site.can("big-posts") {
        return Ok(Outcome::NotThere("big-posts"));
    }
    let text = "0123456789".repeat(LENGTH / 10);
    let found: String = guest.ask("ask", &text).await?;
    holds(format!("of a big text {} bytes came back", found.len()), found == text)?;
    let bytes = Bytes::from(text.into_bytes());
    let found: Bytes = guest.ask("binary-ask", (&bytes,)).await?;
    holds(format!("of many bytes {} came back", found.len()), found == bytes)?;
    Ok(Outcome::Passed)
}

pub(super) async fn volatile(bench: Bench) -> Answer {
    let socket = bench.builder()?.build()?.socket("/");
    let mut echo = socket.events::<_, i64>("echo");
    socket.emit_volatile("echo", 1);
    socket.emit("echo", 2);
    socket.connect().await?;
    same("the first echo", next(&mut echo).await?, 2)?;
    let guest = Guest { socket, welcome: Value::Null };
    if bench.way == Way::Upgrade {
        guest.upgraded().await?;
    }
    // With nothing before it on the way, it leaves at once.
    guest.socket.drained().await;
    guest.socket.emit_volatile("echo", 3);
    same("the second echo", next(&mut echo).await?, 3)?;
    Ok(Outcome::Passed)
}

pub(super) async fn volatile_burst(bench: Bench) -> Answer {
    if !bench.site.can("volatile") {
        return Ok(Outcome::NotThere("volatile"));
    }
    let guest = bench.join().await?;
    let mut numbers = guest.socket.events::<_, i64>("number");
    same("the answer", guest.ask::<i64>("volatile-burst", 100).await?, 100)?;
    // What came before the answer waits in the stream; what is not there by now was dropped.
    let mut last = -1;
    loop {
        tokio::select! {
            biased;
            number = next(&mut numbers) => {
                let number = number?;
                holds(format!("{number} behind {last}"), (last + 1..100).contains(&number))?;
                last = number;
            }
            () = std::future::ready(()) => return Ok(Outcome::Passed),
        }
    }
}

pub(super) async fn buffering_before(bench: Bench) -> Answer {
    let socket = bench.builder()?.build()?.socket("/");
    let mut echo = socket.events::<_, i64>("echo");
    let many = bench.at_once(200);
    for n in 1..many {
        socket.emit("echo", n);
    }
    let sum = socket.call::<_, _, i64>("sum", (20, 22));
    socket.connect().await?;
    for n in 1..many {
        same("the echo", next(&mut echo).await?, n)?;
    }
    same("the sum", sum.await?, 42)?;
    Ok(Outcome::Passed)
}

pub(super) async fn retries(bench: Bench) -> Answer {
    tokio::try_join!(sent_again(&bench), given_up(&bench), keyed(&bench))?;
    Ok(Outcome::Passed)
}

/// An event is sent until it is answered, and no further.
async fn sent_again(bench: &Bench) -> Result<(), Failure> {
    // So often that they last for longer than any server stalls.
    let builder = bench.builder()?.retries(50, Duration::from_millis(400));
    let guest = bench.enter(builder, "/").await?;
    let other = bench.join().await?;
    guest.socket.retry_events(false);
    let keys = [bench.key(), bench.key(), bench.key()];
    let calls =
        keys.each_ref().map(|key| guest.socket.call::<_, _, Value>("flaky", (key, 3, "value")));
    for (call, key) in calls.into_iter().zip(&keys) {
        let answer = call.await?;
        // Of a server that was busy the third answer may have come too late as well.
        let tries = answer["tries"].as_i64().unwrap_or_default();
        holds(format!("{tries} tries"), tries >= 3)?;
        same("the answer", answer, json!({ "value": "value", "tries": tries }))?;
        same("how often it came", other.ask::<i64>("seen", key).await?, tries)?;
    }
    Ok(())
}

/// Nobody answers in time: it is given up, and the next one goes.
async fn given_up(bench: &Bench) -> Result<(), Failure> {
    let builder = bench.builder()?.retries(1, Duration::from_millis(1_500));
    let guest = bench.enter(builder, "/").await?;
    guest.socket.retry_events(false);
    let never = guest.socket.call::<_, _, Value>("never", ()).await;
    holds(format!("{never:?}"), matches!(never, Err(CallError::Timeout)))?;
    same("the sum", guest.ask::<i64>("sum", (20, 22)).await?, 42)
}

/// The key that is put behind comes to the server, and each event has its own.
async fn keyed(bench: &Bench) -> Result<(), Failure> {
    let guest = bench.join().await?;
    guest.socket.retry_events(true);
    let (text, key): (String, String) = guest.ask_all("ask", "keyed").await?;
    let (_, another): (String, String) = guest.ask_all("ask", "keyed").await?;
    holds(format!("{text}, {key}"), text == "keyed" && !key.is_empty() && key != another)
}
