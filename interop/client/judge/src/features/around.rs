//! What is around: other streams, proxies, TLS.

use std::fs;
use std::process::Stdio;

use roomful_client::{Builder, ConnectError, Manager, Proxy, Revision, Socket, Tls, Transport};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::events::{answers_come_back, bytes_come_back};
use crate::bench::{Bench, welcomed};
use crate::child::Child;
use crate::outcome::{Failure, Outcome, holds, same};

type Answer = Result<Outcome, Failure>;

/// All that matters goes by that way.
async fn works(bench: &Bench, builder: Builder) -> Answer {
    let guest = bench.enter(builder, "/").await?;
    answers_come_back(&guest).await?;
    bytes_come_back(&guest).await?;
    Ok(Outcome::Passed)
}

/// Nothing goes, and the error says why: one of the words is in it.
async fn fails(builder: Builder, words: &[&str]) -> Answer {
    let socket = builder.build()?.socket("/");
    let refused = socket.connect().await;
    let Err(ConnectError::Transport(error)) = &refused else {
        return Err(format!("{refused:?}").into());
    };
    let told = error.to_string();
    holds(told.clone(), words.iter().any(|word| told.contains(word)))?;
    Ok(Outcome::Passed)
}

pub(super) async fn unix_socket(bench: Bench) -> Answer {
    let path = bench.servers.unix.clone();
    let builder = bench.builder_of("http://nowhere.test")?.unix_socket(path);
    works(&bench, builder).await
}

pub(super) async fn own_stream(bench: Bench) -> Answer {
    let port = u16::try_from(bench.servers.main.port())?;
    let builder = bench.builder_of("http://nowhere.test")?;
    let builder = builder.stream(move || TcpStream::connect(("127.0.0.1", port)));
    works(&bench, builder).await
}

/// A client of a host that only proxies know.
fn through(bench: &Bench, proxy: &str, at: &Child) -> Result<Builder, Failure> {
    let site = format!("http://site.test:{}", bench.servers.main.port());
    let proxy = Proxy::url(&format!("{proxy}127.0.0.1:{}", at.port()))?;
    Ok(bench.builder_of(&site)?.proxy(proxy))
}

pub(super) async fn http_proxy(bench: Bench) -> Answer {
    works(&bench, through(&bench, "http://", &bench.servers.proxies[0])?).await
}

pub(super) async fn socks(bench: Bench) -> Answer {
    works(&bench, through(&bench, "socks5://", &bench.servers.proxies[1])?).await
}

pub(super) async fn http_proxy_password(bench: Bench) -> Answer {
    let proxy = &bench.servers.proxies[2];
    fails(through(&bench, "http://", proxy)?, &["proxy authorization required"]).await?;
    let wrong = through(&bench, "http://ada:wrong@", proxy)?;
    fails(wrong, &["proxy authorization required"]).await?;
    works(&bench, through(&bench, "http://ada:s3cret@", proxy)?).await
}

pub(super) async fn socks_password(bench: Bench) -> Answer {
    let proxy = &bench.servers.proxies[3];
    fails(through(&bench, "socks5://", proxy)?, &["proxy"]).await?;
    fails(through(&bench, "socks5://ada:wrong@", proxy)?, &["proxy"]).await?;
    works(&bench, through(&bench, "socks5://ada:s3cret@", proxy)?).await
}

pub(super) async fn refusing_proxies(bench: Bench) -> Answer {
    fails(
        through(&bench, "http://", &bench.servers.proxies[4])?,
        &["cannot get through the proxy"],
    )
    .await?;
    fails(
        through(&bench, "socks5://", &bench.servers.proxies[5])?,
        &["cannot get through the proxy"],
    )
    .await
}

/// The word by which this program is started with a proxy in its environment.
pub(crate) const THROUGH_ENVIRONMENT: &str = "--through-environment";

/// What is done then: one client, by the proxy that the environment names. The last of the URL's path is how.
pub(crate) async fn through_environment(url: &str) -> Result<(), Failure> {
    let (url, how) = url.rsplit_once('/').ok_or("no way in the URL")?;
    let transports: &[Transport] = match how {
        "polling" | "old-polling" => &[Transport::Polling],
        "websocket" | "old-websocket" => &[Transport::WebSocket],
        _ => &[Transport::Polling, Transport::WebSocket],
    };
    let revision = if how.starts_with("old") { Revision::V3 } else { Revision::V4 };
    let builder = Manager::builder(url)?
        .transports(transports.iter().copied())
        .revision(revision)
        .query("key", how)?
        .proxy(Proxy::environment());
    let socket: Socket = builder.build()?.socket("/");
    let welcome = welcomed(&socket).await?;
    same("the id", &welcome["id"], &json!(socket.id()))?;
    same("the sum", socket.call::<_, _, i64>("sum", (1, 2)).await?, 3)
}

pub(super) async fn environment(bench: Bench) -> Answer {
    let age = if bench.site.is_old() { "old-" } else { "" };
    let port = bench.servers.main.port();
    let run = async |host: &str, variables: &[(&str, String)]| {
        let mut command = Command::new(std::env::current_exe()?);
        let url = format!("http://{host}:{port}/{age}{}", bench.way.name());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let command =
            command.args([THROUGH_ENVIRONMENT, &url]).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await?;
        match output.status.success() {
            true => Ok(()),
            false => Err::<_, Failure>(String::from_utf8_lossy(&output.stderr).trim().into()),
        }
    };
    let http = format!("http://127.0.0.1:{}", bench.servers.proxies[0].port());
    let socks = format!("socks5://127.0.0.1:{}", bench.servers.proxies[1].port());
    run("site.test", &[("HTTP_PROXY", http.clone())]).await?;
    run("site.test", &[("http_proxy", http)]).await?;
    run("site.test", &[("ALL_PROXY", socks)]).await?;
    // Nobody is at that proxy, and it is not to be asked.
    let nobody = ("HTTP_PROXY", "http://127.0.0.1:9".to_owned());
    run("127.0.0.1", &[nobody.clone(), ("NO_PROXY", "127.0.0.1".to_owned())]).await?;
    holds("NO_PROXY was not needed", run("127.0.0.1", &[nobody]).await.is_err())?;
    Ok(Outcome::Passed)
}

fn read(of: &Value) -> Result<Vec<u8>, Failure> {
    let path = of.as_str().ok_or("no path")?;
    fs::read(path).map_err(|e| format!("{path}: {e}").into())
}

fn trusting(server: &Child) -> Result<Tls, Failure> {
    Ok(Tls::new().only_own_roots().ca(&read(&server.said["ca"])?)?)
}

fn secure(bench: &Bench, host: &str, server: &Child) -> Result<Builder, Failure> {
    bench.builder_of(&format!("https://{host}:{}", server.port()))
}

pub(super) async fn tls(bench: Bench) -> Answer {
    let server = &bench.servers.tls[0];
    for host in ["127.0.0.1", "localhost"] {
        works(&bench, secure(&bench, host, server)?.tls(trusting(server)?)).await?;
    }
    Ok(Outcome::Passed)
}

pub(super) async fn tls_unknown(bench: Bench) -> Answer {
    let (server, other) = (&bench.servers.tls[0], &bench.servers.tls[1]);
    let builder = secure(&bench, "127.0.0.1", server)?.tls(trusting(other)?);
    fails(builder, &["invalid peer certificate: UnknownIssuer", "BadSignature"]).await
}

pub(super) async fn tls_wrong_name(bench: Bench) -> Answer {
    let server = &bench.servers.tls[2];
    let builder = secure(&bench, "localhost", server)?.tls(trusting(server)?);
    fails(builder, &["not valid for name"]).await
}

pub(super) async fn tls_client(bench: Bench) -> Answer {
    let server = &bench.servers.tls[1];
    let chain = read(&server.said["clientCert"])?;
    let key = read(&server.said["clientKey"])?;
    let nobody = secure(&bench, "localhost", server)?.tls(trusting(server)?);
    fails(nobody, &["ertificate"]).await?;
    let known = trusting(server)?.certificate(&chain, &key)?;
    works(&bench, secure(&bench, "localhost", server)?.tls(known)).await
}

pub(super) async fn tls_anybody(bench: Bench) -> Answer {
    let server = &bench.servers.tls[2];
    let tls = Tls::new().dangerously_trust_anybody();
    works(&bench, secure(&bench, "localhost", server)?.tls(tls)).await
}
