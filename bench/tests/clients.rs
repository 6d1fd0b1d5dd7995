//! The clients of this repository and the bare server of `bench clients` understand each other in each
//! case.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A program that ends with the value.
struct Program {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(path: &str, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Self { process, output })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn go_on(&mut self) -> Result<()> {
        Ok(self.process.stdin.as_mut().ok_or("no input")?.write_all(b"\n")?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn each_client_does_each_case_with_the_bare_server() -> Result<()> {
    // Free now; the server takes it within a moment.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut server = Program::start(env!("CARGO_BIN_EXE_peer-server"), &[&port.to_string()])?;
    assert_eq!(server.line()?, "ready");
    let url = format!("http://127.0.0.1:{port}");
    for program in [env!("CARGO_BIN_EXE_client-floor"), env!("CARGO_BIN_EXE_client-roomful")] {
        for case in ["call-1", "call-16", "receive-1000", "receive-flood", "connect", "idle-60"] {
            check(program, case, &url)?;
        }
    }
    Ok(())
}

fn check(program: &str, case: &str, url: &str) -> Result<()> {
    let mut client = Program::start(program, &[case, url, "0.02"])?;
    assert_eq!(client.line()?, r#"{"ready":true}"#, "{program} {case}");
    client.go_on()?;
    let count: serde_json::Value = serde_json::from_str(&client.line()?)?;
    assert!(count["done"].as_u64() > Some(0), "{program} {case}: {count}");
    if case == "idle-60" {
        assert_eq!(count["done"], 60, "{program}");
    }
    client.go_on()?;
    assert!(client.process.wait()?.success(), "{program} {case}");
    Ok(())
}
