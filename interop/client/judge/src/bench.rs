//! [`Bench`]: what a feature is asked with: a server, a way, and clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomful_client::{
    Args, Builder, FromArg, Manager, MsgPack, MsgPackV2, Reconnection, Socket, ToArgs, Transport,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::child::Child;
use crate::outcome::{Failure, same};
use crate::sites::Site;

/// By which transports a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Polling,
    WebSocket,
    Upgrade,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Polling, Self::WebSocket, Self::Upgrade];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
            Self::Upgrade => "upgrade",
        }
    }

    pub(crate) const fn transports(self) -> &'static [Transport] {
        match self {
            Self::Polling => &[Transport::Polling],
            Self::WebSocket => &[Transport::WebSocket],
            Self::Upgrade => &[Transport::Polling, Transport::WebSocket],
        }
    }

    /// The transport that a handshake is made on.
    pub(crate) const fn first(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            _ => "polling",
        }
    }
}

/// The processes of one site that its features share.
pub(crate) struct Servers {
    /// With recovery where it can, and with a Unix socket.
    pub(crate) main: Child,
    pub(crate) unix: PathBuf,
    pub(crate) msgpack: Option<Child>,
    pub(crate) deflate: Child,
    pub(crate) no_websocket: Option<Child>,
    pub(crate) no_polling: Option<Child>,
    /// In front of `main`: with TLS, with client certificates, in the name of another.
    pub(crate) tls: [Child; 3],
    /// HTTP and SOCKS5, and the same with a password, and both refusing.
    pub(crate) proxies: [Child; 6],
}

/// What goes through at once in one feature; the 1 MB of `big` is more than some servers take.
const MAX_PAYLOAD: [&str; 2] = ["--max-payload", "4000000"];
const OUTSIDE: [&str; 2] = ["node", "interop/client/servers/outside.mjs"];
pub(crate) const PASSWORD: [&str; 4] = ["--user", "ada", "--password", "s3cret"];

impl Servers {
    pub(crate) async fn start(site: &'static Site) -> Result<Self, Failure> {
        let name = format!("judge-{}-{}.sock", std::process::id(), site.title.replace(' ', "-"));
        let unix = std::env::temp_dir().join(name);
        let path = unix.to_string_lossy().into_owned();
        let mut options = vec!["--unix", path.as_str()];
        options.extend(MAX_PAYLOAD);
        if site.can("recovery") {
            options.push("--recovery");
        }
        let main = start(site, &options).await?;
        let to = main.port().to_string();
        let proxy = async |kind: &str, options: &[&str]| {
            Child::start(&OUTSIDE, &[&[kind], options].concat()).await
        };
        let refusing = async |kind: &str| {
            let mut child = proxy(kind, &[]).await?;
            child.tell("refuse").await?;
            Ok::<_, Failure>(child)
        };
        let tls = async |options: &[&str]| {
            Child::start(&OUTSIDE, &[&["tls", "--to", &to], options].concat()).await
        };
        let with = async |can: bool, options: &[&str]| match can {
            true => start(site, options).await.map(Some),
            false => Ok(None),
        };
        let transports = site.can("transports");
        let (msgpack, deflate, no_websocket, no_polling) = tokio::try_join!(
            with(site.can("msgpack"), &["--parser", "msgpack"]),
            start(site, &["--deflate"]),
            with(transports, &["--no-websocket"]),
            with(transports, &["--no-polling"]),
        )?;
        let tls =
            tokio::try_join!(tls(&[]), tls(&["--client-certificate"]), tls(&["--wrong-name"]))?;
        let proxies = tokio::try_join!(
            proxy("http-proxy", &[]),
            proxy("socks5", &[]),
            proxy("http-proxy", &PASSWORD),
            proxy("socks5", &PASSWORD),
            refusing("http-proxy"),
            refusing("socks5"),
        )?;
        let (tls, proxies) = (tls.into(), proxies.into());
        Ok(Self { main, unix, msgpack, deflate, no_websocket, no_polling, tls, proxies })
    }

    pub(crate) async fn end(self) -> Result<(), Failure> {
        let maybe = [self.msgpack, self.no_websocket, self.no_polling];
        let around = self.tls.into_iter().chain(self.proxies);
        let all =
            maybe.into_iter().flatten().chain([self.deflate]).chain(around).chain([self.main]);
        for child in all {
            child.end().await?;
        }
        Ok(())
    }
}

/// Starts a server of that site. Where our own was built, `SITE` says.
pub(crate) async fn start(site: &'static Site, options: &[&str]) -> Result<Child, Failure> {
    match std::env::var("SITE") {
        Ok(path) if site.title == "ours" => Child::start(&[&path], options).await,
        _ => Child::start(site.command, options).await,
    }
}

/// What one feature is asked with.
pub(crate) struct Bench {
    pub(crate) site: &'static Site,
    pub(crate) way: Way,
    pub(crate) servers: Arc<Servers>,
}

/// How long clients wait before they come back. Not at once, so that there is a time in which they are away.
const AWAY: Duration = Duration::from_millis(150);

impl Bench {
    pub(crate) const fn new(site: &'static Site, way: Way, servers: Arc<Servers>) -> Self {
        Self { site, way, servers }
    }

    /// A text that no other client has.
    pub(crate) fn key(&self) -> String {
        static KEYS: AtomicU32 = AtomicU32::new(0);
        format!("key-{}", KEYS.fetch_add(1, Ordering::Relaxed))
    }

    /// A client of the main server.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        self.builder_at(&self.servers.main)
    }

    pub(crate) fn builder_at(&self, server: &Child) -> Result<Builder, Failure> {
        self.builder_of(&format!("http://127.0.0.1:{}", server.port()))
    }

    pub(crate) fn builder_of(&self, url: &str) -> Result<Builder, Failure> {
        let builder = Manager::builder(url)?
            .transports(self.way.transports().iter().copied())
            .revision(self.site.revision)
            .query("key", &self.key())?
            .reconnection(Reconnection::every(AWAY));
        Ok(builder)
    }

    /// A client in `/`, of the main server.
    pub(crate) async fn join(&self) -> Result<Guest, Failure> {
        self.enter(self.builder()?, "/").await
    }

    /// Such a client of a server that speaks MessagePack.
    pub(crate) async fn join_packed(&self, server: &Child) -> Result<Guest, Failure> {
        let builder = self.builder_at(server)?;
        let builder = match self.site.is_old() {
            true => builder.parser(MsgPackV2),
            false => builder.parser(MsgPack),
        };
        self.enter(builder, "/").await
    }

    /// A client that is connected, welcomed, and on its last transport.
    pub(crate) async fn enter(&self, builder: Builder, namespace: &str) -> Result<Guest, Failure> {
        let socket = builder.build()?.socket(namespace);
        let welcome = welcomed(&socket).await?;
        let guest = Guest { socket, welcome };
        if self.way == Way::Upgrade {
            guest.upgraded().await?;
        }
        Ok(guest)
    }

    /// How many packets go at once: python-socketio ends a session for more than 16 in one POST.
    pub(crate) fn at_once(&self, many: i64) -> i64 {
        let is_few = self.site.title == "Python" && self.way != Way::WebSocket;
        if is_few { many.min(10) } else { many }
    }
}

/// Connects a socket, and gives what the server says then.
pub(crate) async fn welcomed(socket: &Socket) -> Result<Value, Failure> {
    let mut welcomes = socket.events::<_, (Value,)>("welcome");
    socket.connect().await?;
    let (welcome,) = welcomes.next().await.ok_or("no welcome")??;
    same("the id in the welcome", welcome["id"].as_str(), socket.id().as_deref())?;
    Ok(welcome)
}

/// A client that is connected.
pub(crate) struct Guest {
    pub(crate) socket: Socket,
    pub(crate) welcome: Value,
}

impl Guest {
    pub(crate) fn manager(&self) -> Manager {
        self.socket.manager()
    }

    pub(crate) fn emit<T: ToArgs>(&self, event: &str, args: T) {
        self.socket.emit(event, args);
    }

    /// Asks, and gives the first argument of the answer.
    pub(crate) async fn ask<R: FromArg>(
        &self,
        event: &str,
        args: impl ToArgs,
    ) -> Result<R, Failure> {
        Ok(self.socket.call::<_, _, R>(event, args).await?)
    }

    /// Asks, and gives all arguments of the answer.
    pub(crate) async fn ask_all<R: DeserializeOwned>(
        &self,
        event: &str,
        args: impl ToArgs,
    ) -> Result<R, Failure> {
        Ok(self.socket.call::<_, _, Args>(event, args).await?.read()?)
    }

    /// Asks until the transport is a WebSocket: there is a question on the way before and after each look.
    pub(crate) async fn upgraded(&self) -> Result<(), Failure> {
        while self.manager().transport() != Some(Transport::WebSocket) {
            let _: Args = self.ask("ask", ()).await?;
        }
        Ok(())
    }
}
