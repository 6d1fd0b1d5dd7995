//! [`Connection`]: the client that the options describe.

use std::future::Future;
use std::time::Duration;

use roomful_client::{
    Args, CallError, ConnectError, DisconnectReason, Manager, MsgPack, MsgPackV2, Proxy,
    Reconnection, Revision, Socket, Status, Tls, Transport, TransportCause,
};
use serde_json::json;

use super::failure::{Failure, Kind};
use super::options::{ConnectionOptions, ParserChoice, RevisionChoice, TransportChoice};
use super::printer::Printer;
use super::report;
use super::situation::Situation;
use super::style::Style;
use super::value::{self, Values};

/// Time for the goodbye where the user has interrupted.
const HASTE: Duration = Duration::from_secs(1);
/// How a connection was lost is known a moment later than the loss.
const LOSS_TIME: Duration = Duration::from_secs(1);

/// A client, and where it prints.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) manager: Manager,
    pub(crate) socket: Socket,
    pub(crate) printer: Printer,
    pub(crate) style: Style,
    pub(crate) timeout: Duration,
    situation: Situation,
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
            .tls(tls(options, &printer, style)?);
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
        builder = match (options.parser, options.revision) {
            (ParserChoice::Default, _) => builder,
            (ParserChoice::Msgpack, RevisionChoice::V4) => builder.parser(MsgPack),
            (ParserChoice::Msgpack, RevisionChoice::V3) => builder.parser(MsgPackV2),
        };
        let manager = builder.build()?;
        let socket = manager.socket(&namespace);
        if let Some(auth) = &options.auth {
            socket.auth(value::auth(auth)?)?;
        }
        let situation = Situation::of(options);
        Ok(Self { manager, socket, printer, style, timeout: options.timeout, situation })
    }

    /// The same in another namespace.
    pub(crate) fn with(&self, socket: &Socket) -> Self {
        Self { socket: socket.clone(), ..self.clone() }
    }

    /// Connects, or says why not.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        self.socket.connect().await.map_err(|error| self.failure(&error))
    }

    /// Waits for something while the socket is connected.
    pub(crate) async fn while_connected<F: Future>(&self, future: F) -> Result<F::Output, Failure> {
        tokio::select! {
            biased;
            done = future => Ok(done),
            status = self.socket.closed() => Err(self.closed(&status)),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, event: &str, values: &Values) -> Result<Args, Failure> {
        let call = self.socket.call::<_, _, Args>(event, values);
        // What was asked when the server had put the client out already would wait for all of its time.
        match self.while_connected(call).await? {
            Err(CallError::Disconnected) => Err(self.lost().await),
            answer => Ok(answer?),
        }
    }

    /// Waits until all that was emitted has left.
    pub(crate) async fn drained(&self) -> Result<(), Failure> {
        let drained = tokio::time::timeout(self.timeout, self.manager.drained());
        self.while_connected(drained).await?.map_err(|_| not_taken())
    }

    /// Waits until the server has read all that was emitted: some servers drop what they read together with
    /// the goodbye.
    pub(crate) async fn arrived(&self) -> Result<(), Failure> {
        let arrived = async {
            // Where there is no connection it is sent on the next one.
            self.socket.connected().await.is_ok() && self.manager.arrived().await
        };
        match tokio::time::timeout(self.timeout, arrived).await {
            Ok(true) => Ok(()),
            Ok(false) if self.was_put_out() && self.socket.clear_buffer() == 0 => Ok(()),
            Ok(false) => Err(self.lost().await),
            Err(_) => Err(not_taken()),
        }
    }

    /// Whether the server has put out the client, which it may do for what it was sent: a logout, for example.
    fn was_put_out(&self) -> bool {
        let by_server = DisconnectReason::ServerDisconnect;
        matches!(self.socket.status(), Status::Disconnected(why) if why.reason == by_server)
    }

    /// Why a connection was lost that has just been there.
    pub(crate) async fn lost(&self) -> Failure {
        let mut watch = self.socket.watch();
        let known = watch
            .wait_for(|status| !matches!(status, Status::Connecting | Status::Connected { .. }));
        // It may be back by now.
        drop(tokio::time::timeout(LOSS_TIME, known).await);
        self.closed(&self.socket.status())
    }

    /// Why nothing more will come, by the last status.
    pub(crate) fn closed(&self, status: &Status) -> Failure {
        match status {
            Status::Failed(error) | Status::Waiting { error, .. } => match &**error {
                // It was there, so that nothing was asked for wrongly.
                ConnectError::Transport(e) if matches!(e.cause(), TransportCause::Ended(_)) => {
                    Failure::new(Kind::Connection, error.to_string())
                }
                error => self.failure(error),
            },
            Status::Disconnected(why) => Failure::lost(why),
            _ => Failure::new(Kind::Connection, "the connection was lost"),
        }
    }

    pub(crate) fn failure(&self, error: &ConnectError) -> Failure {
        Failure::of(error, &self.situation)
    }

    /// Tells on standard error what happens to a socket: that it has come and gone before and behind the events
    /// that come between. Calls `greet` each time that it has come.
    pub(crate) fn report(&self, socket: &Socket, greet: impl Fn(&Socket) + Send + Sync + 'static) {
        let (printer, style) = (self.printer.clone(), self.style);
        socket.on_connect(move |socket| {
            if !style.quiet {
                printer.note(report::connected(style, &socket));
            }
            greet(&socket);
            std::future::ready(())
        });
        if self.style.quiet {
            return;
        }
        let (printer, style) = (self.printer.clone(), self.style);
        socket.on_disconnect(move |socket, why| {
            // Who leaves knows it. Of what comes back the next attempt is told.
            if why.reason != DisconnectReason::ClientDisconnect && !socket.is_active() {
                printer.note(report::disconnected(style, socket.namespace(), &why));
            }
            std::future::ready(())
        });
        let (printer, style) = (self.printer.clone(), self.style);
        let (namespace, mut watch) = (socket.namespace().to_owned(), socket.watch());
        tokio::spawn(async move {
            while watch.changed().await.is_ok() {
                let status = watch.borrow_and_update().clone();
                if let Some(line) = report::waiting(style, &namespace, &status) {
                    printer.note(line);
                }
            }
        });
    }

    /// Says what went wrong, and goes on.
    pub(crate) fn complain(&self, failure: &Failure) {
        if !failure.is_silent() {
            self.printer.note(self.style.failure(failure));
        }
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

fn not_taken() -> Failure {
    Failure::new(Kind::Timeout, "the server did not take in time what was emitted")
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

fn tls(options: &ConnectionOptions, printer: &Printer, style: Style) -> Result<Tls, Failure> {
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
        let text = "WARNING: --insecure takes any certificate: whoever stands between can read and change \
                    everything, the auth payload too. Trust one certificate instead: --ca FILE";
        printer.note(style.status(text, &json!({ "status": "insecure", "text": text })));
        tls = tls.dangerously_trust_anybody();
    }
    Ok(tls)
}
