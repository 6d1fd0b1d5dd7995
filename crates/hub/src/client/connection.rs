//! [`Connection`]: the client that the options describe.

use std::future::Future;
use std::time::{Duration, Instant};

use roomful_client::{
    DisconnectReason, Manager, MsgPack, Proxy, Reconnection, Revision, Socket, Status, Tls,
    Transport,
};
use serde_json::json;

use super::failure::{Failure, Kind};
use super::options::{ConnectionOptions, ParserChoice, RevisionChoice, TransportChoice};
use super::printer::Printer;
use super::style::Style;
use super::value;

/// Time for the goodbye where the user has interrupted.
const HASTE: Duration = Duration::from_secs(1);

/// A client, and where it prints.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) manager: Manager,
    pub(crate) socket: Socket,
    pub(crate) printer: Printer,
    pub(crate) style: Style,
    pub(crate) timeout: Duration,
}

impl Connection {
    pub(crate) fn new(
        options: &ConnectionOptions,
        reconnection: Reconnection,
        printer: Printer,
        style: Style,
    ) -> Result<Self, Failure> {
        let builder = Manager::builder(&options.url)?;
        let namespace = namespace(builder.namespace(), options.namespace.as_deref())?;
        let mut builder = builder
            .path(&options.path)?
            .transports(
                match options.transport {
                    TransportChoice::Polling => &[Transport::Polling][..],
                    TransportChoice::Websocket => &[Transport::WebSocket],
                    TransportChoice::Upgrade => &[Transport::Polling, Transport::WebSocket],
                }
                .iter()
                .copied(),
            )
            .revision(match options.revision {
                RevisionChoice::V3 => Revision::V3,
                RevisionChoice::V4 => Revision::V4,
            })
            .reconnection(reconnection)
            .connect_timeout(options.timeout)
            .ack_timeout(options.timeout)
            .proxy(match &options.proxy {
                Some(url) => Proxy::url(url)?,
                None => Proxy::environment(),
            })
            .tls(tls(options)?);
        for header in &options.headers {
            let Some((name, value)) = header.split_once(':') else {
                // The whole of it may be a secret.
                return Err(Failure::usage("a header is 'name: value', with a colon"));
            };
            builder = builder.header(name.trim(), value.trim())?;
        }
        for query in &options.queries {
            let Some((name, value)) = query.split_once('=') else {
                return Err(Failure::usage("a parameter is name=value, with an equals sign"));
            };
            builder = builder.query(name, value)?;
        }
        if options.parser == ParserChoice::Msgpack {
            builder = builder.parser(MsgPack);
        }
        let manager = builder.build()?;
        let socket = manager.socket(&namespace);
        if let Some(auth) = &options.auth {
            socket.auth(value::auth(auth)?)?;
        }
        Ok(Self { manager, socket, printer, style, timeout: options.timeout })
    }

    /// Connects, or says why not.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        self.socket.connect().await.map_err(|error| Failure::from(&error))
    }

    /// Waits for something while the socket is connected.
    pub(crate) async fn while_connected<F: Future>(&self, future: F) -> Result<F::Output, Failure> {
        tokio::select! {
            biased;
            done = future => Ok(done),
            status = self.socket.closed() => Err(closed(&status)),
        }
    }

    /// Waits until all that was emitted has left.
    pub(crate) async fn drained(&self) -> Result<(), Failure> {
        let drained = tokio::time::timeout(self.timeout, self.manager.drained());
        if self.while_connected(drained).await?.is_err() {
            let message = "the server did not take in time what was emitted";
            return Err(Failure::new(Kind::Timeout, message));
        }
        // Without a connection nothing waits, either.
        match self.socket.status() {
            Status::Connected { .. } => Ok(()),
            status => Err(closed(&status)),
        }
    }

    /// Tells on standard error what happens to a socket, until it is no more.
    pub(crate) fn report(&self, socket: &Socket) {
        if self.style.quiet {
            return;
        }
        let mut watch = socket.watch();
        let (printer, style, namespace) =
            (self.printer.clone(), self.style, socket.namespace().to_owned());
        let ids = {
            let socket = socket.clone();
            move || (socket.id(), socket.manager().transport())
        };
        tokio::spawn(async move {
            while watch.changed().await.is_ok() {
                let status = watch.borrow_and_update().clone();
                if let Some(line) = told(style, &namespace, &status, &ids) {
                    printer.note(line);
                }
            }
        });
    }

    /// Leaves in order.
    pub(crate) async fn close(&self, in_haste: bool) {
        let close = self.manager.close();
        match in_haste {
            // It is closed anyway when the process ends.
            true => drop(tokio::time::timeout(HASTE, close).await),
            false => close.await,
        }
    }
}

/// Why nothing more will come, by the last status.
pub(crate) fn closed(status: &Status) -> Failure {
    match status {
        Status::Failed(error) | Status::Waiting { error, .. } => Failure::from(&**error),
        Status::Disconnected(why) => Failure::lost(why),
        _ => Failure::new(Kind::Connection, "the connection was lost"),
    }
}

fn told(
    style: Style,
    namespace: &str,
    status: &Status,
    ids: &impl Fn() -> (Option<String>, Option<Transport>),
) -> Option<String> {
    let (text, json) = match status {
        Status::Connected { recovered } => {
            let (id, transport) = ids();
            let id = id.unwrap_or_default();
            let transport = transport.map(|transport| match transport {
                Transport::WebSocket => "websocket",
                _ => "polling",
            });
            let by = transport.unwrap_or("?");
            let again = if *recovered { ", and nothing was missed" } else { "" };
            (
                format!("connected to {namespace} as {id} by {by}{again}"),
                json!({
                    "status": "connected", "namespace": namespace, "id": id,
                    "transport": transport, "recovered": recovered,
                }),
            )
        }
        Status::Waiting { attempt, until, error } => {
            let seconds = until.saturating_duration_since(Instant::now()).as_secs_f64();
            (
                format!("no connection: {error}; attempt {attempt} in {seconds:.1} s"),
                json!({
                    "status": "waiting", "namespace": namespace, "attempt": attempt,
                    "error": error.to_string(),
                }),
            )
        }
        // Who leaves knows it.
        Status::Disconnected(why) if why.reason == DisconnectReason::ClientDisconnect => {
            return None;
        }
        Status::Disconnected(why) => (
            format!("disconnected from {namespace}: {why}"),
            json!({ "status": "disconnected", "namespace": namespace, "reason": why.to_string() }),
        ),
        // What fails is said by the command.
        _ => return None,
    };
    Some(style.status(&text, &json))
}

fn namespace(of_url: &str, chosen: Option<&str>) -> Result<String, Failure> {
    let Some(chosen) = chosen else {
        return Ok(of_url.to_owned());
    };
    let chosen = if chosen.starts_with('/') { chosen.to_owned() } else { format!("/{chosen}") };
    match of_url == "/" || of_url == chosen {
        true => Ok(chosen),
        false => Err(Failure::usage(format!(
            "two namespaces: {of_url} in the URL, and --namespace {chosen}; the path of the server is --path"
        ))),
    }
}

fn tls(options: &ConnectionOptions) -> Result<Tls, Failure> {
    let read = |path: &std::path::Path| value::file(&path.to_string_lossy());
    let bad = |e: roomful_client::TlsError| Failure::usage(e.to_string());
    let mut tls = Tls::new();
    if let Some(ca) = &options.ca {
        tls = tls.ca(&read(ca)?).map_err(bad)?;
    }
    if let (Some(certificate), Some(key)) = (&options.cert, &options.key) {
        tls = tls.certificate(&read(certificate)?, &read(key)?).map_err(bad)?;
    }
    if options.insecure {
        eprintln!(
            "roomful: WARNING: --insecure takes any certificate: whoever stands between can read and \
             change everything, the auth payload too. Trust one certificate instead: --ca FILE"
        );
        tls = tls.dangerously_trust_anybody();
    }
    Ok(tls)
}
