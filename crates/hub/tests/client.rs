//! The client on the command line, from outside: against a server in the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead, BufReader, Read as _, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use roomful::{Args, Bytes, EventError, Hello, Server, Socket};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn roomful(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomful"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["RUST_LOG", "NO_COLOR", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

/// What a command has printed, and how it ended.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Done {
    #[track_caller]
    fn check(&self, code: i32, out: &str) {
        assert_eq!((self.code, &*self.out), (Some(code), out), "stderr: {}", self.err);
    }

    #[track_caller]
    fn check_error(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, &*self.out), (Some(code), ""), "stderr: {}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in: {}", self.err);
        }
    }
}

fn run(arguments: &[&str]) -> Done {
    roomful(arguments).output().unwrap().into()
}

/// Runs it with an input of its own.
fn run_with(arguments: &[&str], input: &str) -> Done {
    let mut child = roomful(arguments).stdin(Stdio::piped()).spawn().unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// A command that runs, and what it prints line by line.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = roomful(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (input, out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, out }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line, without its end and the time of day at its beginning.
    fn line(&mut self) -> String {
        let mut line = String::new();
        if self.out.read_line(&mut line).unwrap() == 0 {
            let mut errors = String::new();
            let read = self.child.stderr.as_mut().unwrap().read_to_string(&mut errors);
            panic!("it has ended: {read:?} {errors}");
        }
        let line = line.trim_end();
        match line.split_once("Z ") {
            Some((time, line)) if time.len() == "12:00:00.000".len() => line.to_owned(),
            _ => line.to_owned(),
        }
    }

    fn end(mut self) -> Done {
        drop(self.input.take());
        self.child.wait_with_output().unwrap().into()
    }
}

fn site() -> Server {
    let io = Server::new();
    io.on_connect(async |me: Socket| {
        me.emit("welcome", me.handshake().query("x").unwrap_or("-".into()))
    });
    io.on("echo", async |me: Socket, args: Args| me.emit("echo", args));
    io.on("ask", async |_: Socket, args: Args| args);
    io.on("add", async |_: Socket, a: i64, b: i64| a + b);
    io.on("divide", async |_: Socket, a: i64, b: i64| {
        a.checked_div(b).ok_or_else(|| EventError::new("zero", "division by zero"))
    });
    io.on("never", async |_: Socket, _ack: roomful::Ack| {
        std::future::pending::<()>().await;
    });
    io.on("bytes", async |me: Socket| me.emit("bytes", (Bytes::from_static(&[0, 1, 255]), "x")));
    io.on("leave-me", async |me: Socket, _ack: roomful::Ack| me.disconnect());
    io.on("nothing", async |_: Socket| ());
    io.on("question-me", async |me: Socket, n: i32| {
        let answer: Value = me.call("question", n).await.unwrap();
        me.emit("answered", answer);
    });
    io.on("flood", async |me: Socket, n: usize| {
        for _ in 0..n {
            me.emit("drop", "x".repeat(1000));
        }
    });
    let private = io.of("/private").connect(async |hello: Hello| {
        let auth: Value = hello.auth().unwrap_or_default();
        match auth["token"] == "letmein" {
            true => Ok(()),
            false => Err(roomful::Refusal::new("not allowed")),
        }
    });
    private.on_connect(async |me: Socket| me.emit("inside", ()));
    private.on("echo", async |me: Socket, args: Args| me.emit("echo", args));
    io
}

/// Serves it, and gives its address.
async fn serve(io: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let io = io.clone();
    tokio::spawn(async move { io.serve_on(listener).await });
    url
}

/// Ends a server, and begins it anew at the same address.
async fn begin_anew(io: &Server, url: &str) {
    let address = url.strip_prefix("http://").unwrap();
    io.close().await;
    let again = site();
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    tokio::spawn(async move { again.serve_on(listener).await });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_prints_the_answer_by_every_transport_and_parser() {
    let url = serve(&site()).await;
    for transport in ["polling", "websocket", "upgrade"] {
        let call = ["call", &url, "add", "1", "-2", "--transport", transport];
        run(&call).check(0, "-1\n");
    }
    let packed = serve(&{
        let io = Server::builder().parser(roomful::MsgPack).build();
        io.on("ask", async |_: Socket, args: Args| args);
        io
    })
    .await;
    run(&["call", &packed, "ask", "[1]", "a b", "--parser", "msgpack"]).check(0, "[1]\n\"a b\"\n");
    let old = Server::builder().allow_eio3(true).build();
    old.on("ask", async |_: Socket, args: Args| args);
    let old = serve(&old).await;
    run(&["call", &old, "ask", "1", "--revision", "3"]).check(0, "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_goes_and_comes_as_it_was_written() {
    let url = serve(&site()).await;
    let done = run(&["call", &url, "ask", r#"{"b":1.50, "a":[null]}"#, "text", "--", "-x"]);
    done.check(0, "{\"b\":1.50,\"a\":[null]}\n\"text\"\n\"-x\"\n");
    let path = std::env::temp_dir().join(format!("roomful-cli-{}", std::process::id()));
    std::fs::write(&path, [0, 1, 255]).unwrap();
    let file = format!("@{}", path.display());
    run(&["call", &url, "ask", &file, "1"]).check(0, "<3 bytes 00 01 ff>\n1\n");
    let json = run(&["call", &url, "ask", &file, "--json"]);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["answer"], json!([{ "_bytes": "AAH/" }]));
    assert!(answer["ms"].is_number());
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_call_tells_its_outcome() {
    let url = serve(&site()).await;
    run(&["call", &url, "divide", "4", "2"]).check(0, "{\"ok\":2}\n");
    run(&["call", &url, "nothing"]).check(0, "");
    let error = run(&["call", &url, "divide", "4", "0"]);
    assert_eq!(error.code, Some(5), "{}", error.err);
    assert!(error.out.starts_with("{\"error\":") && error.err.is_empty(), "{}", error.out);
    let silent = ["call", &url, "never", "--timeout", "2"];
    run(&silent).check_error(4, &["did not answer in time", "--timeout SECONDS"]);
    run(&["call", &url, "leave-me"]).check_error(2, &["io server disconnect"]);
    run(&["call", "http://127.0.0.1:1", "x"]).check_error(2, &["refused", "roomful dev"]);
    let private = format!("{url}/private");
    run(&["call", &private, "x"]).check_error(3, &["not allowed", "--auth"]);
    run(&["call", &url, "x", "-n", "none"]).check_error(3, &["Invalid namespace", "--namespace"]);
    let json = run(&["call", &private, "x", "--json"]);
    let error: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json.code, &error["error"]["code"]), (Some(3), &json!("refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_wrongly_is_named_with_the_way_out() {
    let url = serve(&site()).await;
    let check = |options: &[&str], words: &[&str]| {
        let arguments = [&["emit", &url, "echo"], options].concat();
        run(&arguments).check_error(1, words);
    };
    check(&["--auth", "secret"], &["not JSON", "{\"token\""]);
    check(&["--auth", "[1]"], &["not an object"]);
    check(&["--auth", "@/none"], &["/none cannot be read"]);
    check(&["--transport", "pigeon"], &["pigeon", "polling, websocket, upgrade"]);
    check(&["--header", "secret"], &["name: value"]);
    check(&["--header", "a b: c"], &["\"a b\""]);
    check(&["--query", "x"], &["name=value"]);
    check(&["--query", "sid=x"], &["sid belongs to Engine.IO"]);
    check(&["--path", "x"], &["--path /socket.io/"]);
    check(&["--timeout", "0"], &["seconds above 0"]);
    check(&["--proxy", "gopher://x"], &["a proxy is"]);
    check(&["--ca", "/none"], &["/none cannot be read"]);
    check(&["--cert", "x"], &["--key"]);
    check(&["--none"], &["--none"]);
    check(&["@/none"], &["/none cannot be read"]);
    check(&["-", "-"], &["only one argument"]);
    run(&["emit", &url, "disconnect"]).check_error(1, &["reserved"]);
    run(&["emit", "ftp://x", "a"]).check_error(1, &["http, https, ws or wss"]);
    let two = format!("{url}/a");
    run(&["emit", &two, "a", "--namespace", "b"]).check_error(1, &["two namespaces"]);
    let insecure = run(&["emit", &url, "echo", "--insecure"]);
    assert!(insecure.err.contains("WARNING") && insecure.code == Some(0), "{}", insecure.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_input_is_an_event() {
    let url = serve(&site()).await;
    let done = run_with(&["emit", &url, "ask", "-", "1", "--ack"], "a\n[2]\n\n");
    done.check(0, "\"a\"\n1\n[2]\n1\n\"\"\n1\n");
    // Without an ack they are all sent before it ends.
    let io = Server::new();
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let told = std::sync::Arc::new(told);
    io.on("n", move |_: Socket, n: u32| {
        let told = std::sync::Arc::clone(&told);
        async move { assert!(told.send(n).is_ok()) }
    });
    let url = serve(&io).await;
    for transport in ["polling", "websocket", "upgrade"] {
        let input: String = (0..1000).map(|n| format!("{n}\n")).collect();
        let emit = ["emit", &url, "n", "-", "--transport", transport];
        run_with(&emit, &input).check(0, "");
        for n in 0..1000 {
            assert_eq!(seen.recv().await, Some(n));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_prints_what_comes_and_answers_it() {
    let io = site();
    let url = serve(&io).await;
    let with_query = format!("{url}?x=seen");
    let done = run(&["listen", &with_query, "--json", "--count", "1"]);
    let event: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&event["event"], &event["args"]), (&json!("welcome"), &json!(["seen"])));
    assert_eq!((&event["namespace"], &event["ack"]), (&json!("/"), &json!(false)));
    assert_eq!(event["time"].as_str().unwrap().len(), "2026-01-31T12:00:00.000Z".len());
    let status: Value = serde_json::from_str(&done.err).unwrap();
    assert_eq!(status["status"], "connected");

    let (told, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let told = std::sync::Arc::new(told);
    io.on_connect(move |me: Socket| {
        let told = std::sync::Arc::clone(&told);
        async move {
            let answer: Result<Value, _> = me.call("question", 7).await;
            drop(told.send(answer.unwrap()));
        }
    });
    let listen = ["listen", &url, "question", "--answer", "{\"a\":1}", "--count", "1", "--quiet"];
    let mut listening = Running::start(&listen);
    assert_eq!(listening.line(), "question 7 (wants an ack)");
    assert_eq!(answers.recv().await, Some(json!({ "a": 1 })));
    listening.end().check(0, "");
}

/// A server may want to hear something first, and again when the listener has come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_emits_what_it_is_told_each_time_that_it_has_connected() {
    let io = site();
    let url = serve(&io).await;
    let emit = ["--emit", "echo 'a b' [1]", "--emit", "never-heard"];
    let listen = ["listen", &url, "echo", "-q", "--count", "2"];
    let mut listening = Running::start(&[&listen[..], &emit].concat());
    assert_eq!(listening.line(), "echo \"a b\" [1]");
    begin_anew(&io, &url).await;
    assert_eq!(listening.line(), "echo \"a b\" [1]");
    listening.end().check(0, "");
    for wrong in ["/quit", "ask ?", ""] {
        run(&["listen", &url, "--emit", wrong]).check_error(1, &["EVENT ARG…"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_ends_by_time_and_tells_when_too_little_came() {
    let url = serve(&site()).await;
    run(&["listen", &url, "none", "--for", "0.2", "-q"]).check(0, "");
    let too_few = ["listen", &url, "none", "--for", "0.2", "--count", "1", "-q"];
    run(&too_few).check_error(4, &["fewer than 1"]);
    run(&["listen", "http://127.0.0.1:1"]).check_error(2, &["refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_put_out_says_so() {
    let io = Server::new();
    io.on_connect(async |me: Socket| me.disconnect());
    let url = serve(&io).await;
    run(&["listen", &url, "-q"]).check_error(2, &["io server disconnect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_comes_back_and_says_so() {
    let io = site();
    let url = serve(&io).await;
    let mut listening = Running::start(&["listen", &url, "--count", "2"]);
    assert_eq!(listening.line(), "welcome \"-\"");
    begin_anew(&io, &url).await;
    assert_eq!(listening.line(), "welcome \"-\"");
    let done = listening.end();
    done.check(0, "");
    assert!(done.err.matches("connected to / as").count() == 2, "{}", done.err);
    assert!(done.err.contains("no connection: "), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_takes_lines_where_there_is_no_terminal() {
    let url = serve(&site()).await;
    let mut prompt = Running::start(&["connect", &url, "-q"]);
    assert_eq!(prompt.line(), "welcome \"-\"");
    prompt.say("echo {\"a\": [1, \"b c\"]} 'd e' f");
    assert_eq!(prompt.line(), "echo {\"a\":[1,\"b c\"]} \"d e\" \"f\"");
    prompt.say("add 1 2 ?");
    let answer = prompt.line();
    assert!(answer.starts_with("add = 3 (") && answer.ends_with(" ms)"), "{answer}");
    prompt.say("bytes");
    assert_eq!(prompt.line(), "bytes <3 bytes 00 01 ff> \"x\"");
    prompt.say("/auth {\"token\":\"letmein\"}");
    prompt.say("/disconnect");
    prompt.say("/connect");
    assert_eq!(prompt.line(), "welcome \"-\"");
    prompt.say("/help");
    assert_eq!(prompt.line().split_whitespace().next(), Some("EVENT"));
    while !prompt.line().contains("/quit") {}
    prompt.say("/quit");
    prompt.end().check(0, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_goes_to_another_namespace_or_stays() {
    let url = serve(&site()).await;
    let mut prompt = Running::start(&["connect", &url, "-q"]);
    assert_eq!(prompt.line(), "welcome \"-\"");
    prompt.say("/namespace private");
    prompt.say("echo still-here");
    assert_eq!(prompt.line(), "echo \"still-here\"");
    let done = prompt.end();
    done.check(3, "");
    assert_eq!(done.err.matches("not allowed").count(), 1, "{}", done.err);

    let open = Server::new();
    open.of("/x").on("echo", async |me: Socket, args: Args| me.emit("echo-x", args));
    let url = serve(&open).await;
    let mut prompt = Running::start(&["connect", &url, "-q"]);
    prompt.say("/namespace x");
    prompt.say("echo 1");
    assert_eq!(prompt.line(), "echo-x 1");
    prompt.say("/disconnect");
    prompt.say("echo 2");
    let done = prompt.end();
    done.check(2, "");
    assert!(done.err.contains("/connect comes first"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auth_payload_reaches_the_namespace() {
    let url = serve(&site()).await;
    let inside = |auth: &str| {
        let url = format!("{url}/private");
        run(&["listen", &url, "--auth", auth, "--count", "1", "-q", "--json"])
    };
    let done = inside("{\"token\":\"letmein\"}");
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("\"event\":\"inside\""), "{}", done.out);
    inside("{\"token\":\"x\"}").check_error(3, &["not allowed"]);
}

/// As `| head -1` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let url = serve(&site()).await;
    let mut prompt = Running::start(&["connect", &url, "-q"]);
    assert_eq!(prompt.line(), "welcome \"-\"");
    let Running { mut child, mut input, out } = prompt;
    drop(out);
    writeln!(input.as_mut().unwrap(), "echo 1").unwrap();
    let done = child.wait().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((done.code(), &*errors), (Some(0), ""));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_leaves_in_order_even_while_nobody_reads() {
    let io = site();
    let (told, mut left) = tokio::sync::mpsc::unbounded_channel();
    let told = std::sync::Arc::new(told);
    io.on_disconnect(move |_: Socket, why: roomful::Reason| {
        let told = std::sync::Arc::clone(&told);
        async move { drop(told.send(why.to_string())) }
    });
    let url = serve(&io).await;
    let mut prompt = Running::start(&["connect", &url, "-q"]);
    assert_eq!(prompt.line(), "welcome \"-\"");
    // More than a pipe takes.
    prompt.say("flood 500");
    prompt.say("add 1 2");
    prompt.line();
    let pid = prompt.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(prompt.child.wait().unwrap().code(), Some(130));
    assert_eq!(left.recv().await.unwrap(), "client namespace disconnect");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_painted_but_on_a_terminal_or_when_told() {
    let url = serve(&site()).await;
    let listen = ["listen", &url, "--count", "1"];
    let done = run(&listen);
    assert!(!done.out.contains('\x1b') && !done.err.contains('\x1b'), "{}{}", done.out, done.err);
    let done = run(&[&listen[..], &["--color", "always"]].concat());
    assert!(done.out.contains('\x1b') && done.err.contains('\x1b'), "{}{}", done.out, done.err);
}

#[test]
fn help_tells_the_exit_codes_and_examples() {
    for command in ["connect", "emit", "listen", "call"] {
        let long = run(&[command, "--help"]);
        assert_eq!(long.code, Some(0));
        for word in ["Exit codes:", "130", "roomful dev", "--transport", "--auth", "--timeout"] {
            assert!(long.out.contains(word), "{word:?} is missing in:\n{}", long.out);
        }
        assert!(run(&[command, "-h"]).out.contains("Exit codes:"));
    }
}

/// What the server says before it puts the client out is on the way to the printer still when that is known.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_goodbye_is_printed_and_counts() {
    const COUNT: usize = 300;
    let io = Server::new();
    io.on_connect(async |me: Socket| {
        (0..COUNT).for_each(|n| me.emit("n", n));
        me.disconnect();
    });
    let url = serve(&io).await;
    for transport in ["polling", "websocket"] {
        let listen = ["listen", &url, "--json", "--transport", transport];
        let done = run(&[&listen[..], &["-q"]].concat());
        assert_eq!(done.code, Some(2), "{}", done.err);
        assert!(done.err.contains("io server disconnect"), "{}", done.err);
        assert_eq!(done.out.lines().count(), COUNT, "{}", done.out);
        let done = run(&[&listen[..], &["--count", &COUNT.to_string()]].concat());
        assert_eq!((done.code, done.out.lines().count()), (Some(0), COUNT), "{}", done.err);
        // That it was connected comes before all that followed from it.
        let first: Value = serde_json::from_str(done.err.lines().next().unwrap()).unwrap();
        assert_eq!(first["status"], "connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_puts_the_client_out_at_once_is_no_timeout() {
    let io = Server::new();
    io.on_connect(async |me: Socket| me.disconnect());
    let url = serve(&io).await;
    for transport in ["polling", "websocket", "upgrade"] {
        let run = |command: &str, more: &[&str]| {
            run(&[&[command, &url, "x", "--transport", transport], more].concat())
        };
        run("call", &[]).check_error(2, &["io server disconnect"]);
        run("emit", &["--ack"]).check_error(2, &["io server disconnect"]);
    }
}

/// The server may put the client out for what it was sent, as for a logout.
#[tokio::test(flavor = "multi_thread")]
async fn what_puts_the_client_out_was_sent() {
    let io = Server::new();
    io.on("logout", async |me: Socket| me.disconnect());
    io.on("ask-logout", async |me: Socket, ack: roomful::Ack| {
        ack.send("bye");
        me.disconnect();
    });
    let url = serve(&io).await;
    for transport in ["polling", "websocket", "upgrade"] {
        run(&["emit", &url, "logout", "--transport", transport]).check(0, "");
        let prompt = ["connect", &url, "-q", "--transport", transport];
        run_with(&prompt, "logout\n").check(0, "");
        let call = ["call", &url, "ask-logout", "--transport", transport];
        run(&call).check(0, "\"bye\"\n");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_a_failure_and_a_closed_standard_error_is_none() {
    let url = serve(&site()).await;
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |arguments: &[&str], out: Stdio, err: Stdio| {
        Done::from(roomful(arguments).stdout(out).stderr(err).output().unwrap())
    };
    let call = ["call", &url, "add", "1", "2"];
    let done = run(&call, full().into(), Stdio::piped());
    done.check_error(1, &["cannot be printed", "No space left"]);
    let listen = ["listen", &url, "-q"];
    let done = run(&listen, full().into(), Stdio::piped());
    done.check_error(1, &["cannot be printed", "No space left"]);
    run(&call, Stdio::piped(), full().into()).check(0, "3\n");
    let nobody = ["call", "http://127.0.0.1:1", "x"];
    run(&nobody, Stdio::piped(), full().into()).check(2, "");
    let insecure = ["call", &url, "add", "1", "2", "--insecure"];
    run(&insecure, Stdio::piped(), full().into()).check(0, "3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_itself_looks_like_no_line_of_ours() {
    let io = Server::new();
    io.of("/evil").connect(async |_: Hello| {
        let evil = "no\nroomful: connected to / as you\x1b[2J\u{202e}";
        Err::<(), _>(roomful::Refusal::new(evil))
    });
    let url = serve(&io).await;
    let done = run(&["call", &format!("{url}/evil"), "x"]);
    done.check_error(3, &["the server refused: no roomful: connected", "--auth"]);
    assert_eq!(done.err.lines().count(), 2, "{}", done.err);
    assert!(!done.err.contains(['\x1b', '\u{202e}']), "{}", done.err);
}

/// Lines of standard error are JSON, the warning too.
#[tokio::test(flavor = "multi_thread")]
async fn all_is_json_when_asked_for() {
    let url = serve(&site()).await;
    let done = run(&["listen", &url, "--json", "--insecure", "--count", "1"]);
    let statuses: Vec<Value> =
        done.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = statuses.iter().map(|status| &status["status"]).collect();
    assert_eq!(names, [&json!("insecure"), &json!("connected")]);
}
