//! A long form that many people edit at the same time: one planning document for each state.

mod access;
mod documents;
mod edits;
mod form;
mod presence;
mod rooms;
mod routes;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roomful::{ConnectionFlow, Cors, EventFlow, Namespace, Origins, Rate, Server, Socket};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use tokio::net::TcpListener;

use crate::access::{Access, Visitor};
use crate::documents::Documents;
use crate::form::Form;

/// Bytes of an event.
const EVENT_BYTES_MAX: usize = 16 * 1024;
/// How fast events of a socket may come.
const EVENT_RATE: Rate = Rate::per_second(20).burst(100);
const CONNECTIONS_MAX: usize = 10_000;
/// A page that has lost its server unnoticed knows it after both of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The time over which pages move away when the server stops.
const DRAIN: Duration = Duration::from_secs(1);

/// What all of the program shares.
struct App {
    access: Access,
    documents: Documents,
    form: Form,
}

type Io = Namespace<Arc<App>, Visitor>;
type PageSocket = Socket<Arc<App>, Visitor>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = open().await?;
    let access = Access::new(pool.clone())?;
    let app = Arc::new(App { access, documents: Documents::new(pool), form: Form::read()? });
    let server = server(app);
    let io: Io = server.connect(access::enter);
    // One event of a socket after the other: what comes behind `join` is of that room.
    io.event_flow(EventFlow::new().ordered(true).args_bytes_max(EVENT_BYTES_MAX));
    io.on_error(|me, event, error| {
        if let Some(cause) = error.source() {
            eprintln!("{} {event}: {cause}", me.id());
        }
    });
    access::register(&io);
    rooms::register(&io);
    edits::register(&io);
    presence::register(&io);

    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = env::var("PORT").map_or(Ok(3001), |port| port.parse())?;
    let listener = TcpListener::bind((host, port)).await?;
    server.drain_on(roomful::stop_signal(), DRAIN);
    let web =
        env::var("WEB").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist").into());
    print!("listening on http://{}\n{}", listener.local_addr()?, access::DEMO_CODES);
    // Returns when the server is closed.
    let routes = routes::router(io, server.origin_layer(), &PathBuf::from(web));
    server.serve_with(listener, routes).await;
    Ok(())
}

/// Opens the database that `DATABASE_URL` names, or `collab.db` in the directory `DATA`, or here.
async fn open() -> Result<SqlitePool, sqlx::Error> {
    let directory = env::var("DATA").unwrap_or_else(|_| ".".to_owned());
    let url =
        env::var("DATABASE_URL").unwrap_or_else(|_| format!("sqlite://{directory}/collab.db"));
    let options: SqliteConnectOptions = url.parse()?;
    let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(include_str!("../schema.sql")).execute(&pool).await?;
    Ok(pool)
}

/// Pages of the same host may come, and those of one more origin, such as that of a development server: to sockets
/// and routes alike.
fn server(app: Arc<App>) -> Server<Arc<App>> {
    let web_origin = env::var("WEB_ORIGIN").ok().filter(|origin| !origin.is_empty());
    Server::builder()
        .state(app)
        .origins(Origins::List(web_origin.into_iter().collect()))
        .cors(Cors::new().methods(["GET", "POST", "DELETE"]))
        .payload_bytes_max(4 * EVENT_BYTES_MAX)
        .connection_flow(ConnectionFlow::new().rate(EVENT_RATE))
        .connections_max(CONNECTIONS_MAX)
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .build()
}
