//! The program from outside: what it prints, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

fn roomful(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomful"));
    command.args(arguments).env_remove("ROOMFUL_PORT").env_remove("ROOMFUL_HOST");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A hub that is ready, and what it said when it was.
struct Hub {
    process: Child,
    ready: serde_json::Value,
}

impl Hub {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let arguments = [&["dev", "--port", "0", "--json"], arguments].concat();
        let mut process = roomful(&arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { process, ready: serde_json::from_str(&line).unwrap() }
    }

    fn address(&self) -> &str {
        self.ready["url"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    fn get(&self, path: &str) -> String {
        self.get_of(self.address(), path)
    }

    fn get_of(&self, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_ready_hub_says_so_as_json_and_serves_its_pages() {
    let hub = Hub::start();
    assert_eq!((&hub.ready["path"], &hub.ready["mode"]), (&"/socket.io/".into(), &"dev".into()));
    let page = hub.get("/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    assert!(hub.get("/none").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(hub.get("/socket.io/?EIO=4&transport=polling").contains("\r\n\r\n0{\"sid\":\""));
}

/// A page whose name was made to point to this machine.
#[test]
fn a_hub_of_this_machine_is_called_by_its_names_alone() {
    const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
    let check = |hub: &Hub, host: &str, status: &str| {
        let answer = hub.get_of(host, POLLING);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    };
    let hub = Hub::start();
    for host in ["localhost:3000", "127.0.0.1", "[::1]:3000", hub.address()] {
        check(&hub, host, "200");
    }
    for host in ["evil.example", "localhost.evil.example:3000", "its.host"] {
        check(&hub, host, "421");
    }
    let hub = Hub::start_with(&["--host", "127.0.0.2", "--origin", "https://its.host"]);
    for (host, status) in [("127.0.0.2", "200"), ("its.host", "200"), ("evil.example", "421")] {
        check(&hub, host, status);
    }
    let hub = Hub::start_with(&["--origin", "*"]);
    check(&hub, "any.example", "200");
}

#[test]
fn the_client_is_served_or_what_is_missing_is_said_at_its_path() {
    let hub = Hub::start();
    let script = hub.get("/socket.io/socket.io.js");
    match &hub.ready["client"] {
        serde_json::Value::String(version) => {
            assert!(script.contains(&format!("etag: \"{version}\"\r\n")), "{version}");
            assert!(script.contains(&format!("Socket.IO v{version}")), "{version}");
        }
        _ => {
            assert!(script.starts_with("HTTP/1.1 404 Not Found\r\n"), "{script}");
            assert!(script.contains("npm ci"), "{script}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = roomful(&["dev", "--port", &port]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("cannot listen at 127.0.0.1:{port}")), "{error}");
    assert!(error.contains("choose another port: roomful dev --port"), "{error}");
}

#[test]
fn host_and_port_come_from_the_environment_too() {
    let mut command = roomful(&["dev", "--json"]);
    let mut process =
        command.env("ROOMFUL_PORT", "0").env("ROOMFUL_HOST", "127.0.0.2").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.contains("http://127.0.0.2:"), "{line}");
}

#[cfg(unix)]
#[test]
fn a_terminated_hub_ends_in_order() {
    let mut hub = Hub::start();
    let pid = hub.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(hub.process.wait().unwrap().code(), Some(0));
}

#[test]
fn help_names_every_flag_with_its_variable() {
    let output = roomful(&["dev", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "--host",
        "--port",
        "--origin",
        "--json",
        "ROOMFUL_HOST",
        "ROOMFUL_PORT",
        "ROOMFUL_ORIGINS",
    ] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}

/// It takes the place of the system's by being linked; nothing else would show that it is not.
#[test]
#[cfg(target_os = "linux")]
fn the_allocator_of_the_hub_is_mimalloc() {
    let output = roomful(&["--version"]).env("MIMALLOC_VERBOSE", "1").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("mimalloc: "), "{errors}");
}
