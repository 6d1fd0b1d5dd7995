//! What the commands of the client are told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The outcome as a number, at the end of each `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    all went well
  1    wrong usage, or a fault of this program
  2    no connection, or it was lost
  3    the namespace refused the client
  4    nothing came within --timeout, or too few events within --for
  5    the server answered an error: an object whose `error` is neither null nor false
  130  Ctrl-C";

const ARGUMENTS: &str = "\
Arguments:
  What is JSON is sent as it is written, anything else as a text.
  @file sends the bytes of the file; '\"@file\"' is the text.
  - stands for a line of the standard input: one event is sent for each line.
  What begins with - otherwise, but for a number, comes behind --.";

/// Which server, and how to reach it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionOptions {
    /// Address of the server, such as `http://localhost:3000` or `https://example.org/namespace`.
    pub(crate) url: String,

    /// How to reach it: by polling alone, by a WebSocket alone, or by polling that upgrades to a WebSocket.
    #[arg(long, value_enum, default_value_t = TransportChoice::Upgrade, help_heading = CONNECTION)]
    pub(crate) transport: TransportChoice,

    /// Namespace, in place of the path of the URL.
    #[arg(long, short, value_name = "NAME", help_heading = CONNECTION)]
    pub(crate) namespace: Option<String>,

    /// What the namespace is told of this client: an object in JSON, or @file with one in it, which no other
    /// user of this machine can see among the processes.
    #[arg(long, value_name = "JSON", help_heading = CONNECTION)]
    pub(crate) auth: Option<String>,

    /// Header that goes with each request. May be given several times.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", help_heading = CONNECTION)]
    pub(crate) headers: Vec<String>,

    /// Parameter that goes with each request, beside those of the URL. May be given several times.
    #[arg(long = "query", value_name = "NAME=VALUE", help_heading = CONNECTION)]
    pub(crate) queries: Vec<String>,

    /// Path at which the server serves Socket.IO.
    #[arg(long, default_value = "/socket.io/", help_heading = CONNECTION)]
    pub(crate) path: String,

    /// Encoding of packets, which must be that of the server.
    #[arg(long, value_enum, default_value_t = ParserChoice::Default, help_heading = CONNECTION)]
    pub(crate) parser: ParserChoice,

    /// Revision of Engine.IO: 3 for a server of Socket.IO 2, 4 for the later ones.
    #[arg(long, value_enum, default_value_t = RevisionChoice::V4, help_heading = CONNECTION)]
    pub(crate) revision: RevisionChoice,

    /// Trust the certificates in this PEM file, too.
    #[arg(long, value_name = "FILE", help_heading = CONNECTION)]
    pub(crate) ca: Option<PathBuf>,

    /// Certificate of this client, a PEM file.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = CONNECTION)]
    pub(crate) cert: Option<PathBuf>,

    /// Key of that certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = CONNECTION)]
    pub(crate) key: Option<PathBuf>,

    /// Take any certificate. Whoever stands between can then read and change everything.
    #[arg(long, help_heading = CONNECTION)]
    pub(crate) insecure: bool,

    /// Proxy, as `http://[user:password@]host:port` or `socks5://…`. Default: HTTPS_PROXY, HTTP_PROXY,
    /// ALL_PROXY and NO_PROXY of the environment.
    #[arg(long, value_name = "URL", help_heading = CONNECTION)]
    pub(crate) proxy: Option<String>,

    /// Time for the connection, for the namespace, and for each answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = CONNECTION)]
    pub(crate) timeout: Duration,

    /// Print each thing as an object in JSON on a line of its own.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,

    /// Do not tell of the connection on standard error.
    #[arg(long, short, help_heading = OUTPUT)]
    pub(crate) quiet: bool,

    /// Whether to print in colours; `auto` does on a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, help_heading = OUTPUT)]
    pub(crate) color: ColorChoice,
}

const CONNECTION: &str = "Connection";
const OUTPUT: &str = "Output";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportChoice {
    Polling,
    Websocket,
    Upgrade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ParserChoice {
    Default,
    Msgpack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RevisionChoice {
    #[value(name = "3")]
    V3,
    #[value(name = "4")]
    V4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
With a server by `roomful dev` beside it:
  roomful emit http://localhost:3000 room:join lobby
  roomful emit http://localhost:3000 room:join '\"lobby\"' --ack
  echo lobby | roomful emit http://localhost:3000 room:join - --ack

{ARGUMENTS}

With --json, each ack is {{\"answer\":[ARG…],\"ms\":12.3}}. Bytes are {{\"_bytes\":\"base64\"}}.

{EXIT_CODES}"))]
pub(crate) struct EmitOptions {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,

    /// Name of the event.
    pub(crate) event: String,

    /// Arguments of the event: JSON, a text, @file for bytes, or - for lines of the standard input.
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<String>,

    /// Ask for the ack of each event, and print it.
    #[arg(long)]
    pub(crate) ack: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
With a server by `roomful dev` beside it:
  roomful call http://localhost:3000 room:join lobby
  roomful call http://localhost:3000 room:leave lobby       (an error, so it exits with 5: join it first)
  roomful call --json --timeout 2 http://localhost:3000 room:join lobby

{ARGUMENTS}

Each argument of the answer is a line of JSON. With --json the answer is {{\"answer\":[ARG…],\"ms\":12.3}}.
Bytes are <3 bytes 00 01 ff>, in --json {{\"_bytes\":\"base64\"}}.

{EXIT_CODES}"))]
pub(crate) struct CallOptions {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,

    /// Name of the event.
    pub(crate) event: String,

    /// Arguments of the event: JSON, a text, @file for bytes, or - for lines of the standard input.
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<String>,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
With a server by `roomful dev` beside it:
  roomful listen http://localhost:3000 --emit 'room:join lobby'
  roomful listen http://localhost:3000 --emit 'room:join lobby' room:left --count 1
  roomful listen http://localhost:3000 --emit 'room:join lobby' --json --for 60 | jq .args

With --json an event is
  {{\"time\":\"2026-01-31T12:00:00.000Z\",\"namespace\":\"/\",\"event\":\"name\",\"args\":[ARG…],\"ack\":false}}
where `ack` says whether the server asked for an ack. Bytes are {{\"_bytes\":\"base64\"}}. What happens to the
connection is on standard error: {{\"status\":\"connected\",…}}, \"waiting\", \"disconnected\", \"dropped\" or
\"insecure\".
Up to 4 MiB wait to be printed; what comes above that is dropped and counted.

{EXIT_CODES}"))]
pub(crate) struct ListenOptions {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,

    /// Names of the events to print; all without one.
    #[arg(value_name = "EVENT")]
    pub(crate) events: Vec<String>,

    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after so much time. With --count, it is a failure when too few events have come by then.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Option<Duration>,

    /// Emit this each time that it has connected, such as 'room:join lobby': what the server wants to hear
    /// before it sends anything. As at the prompt of `roomful connect`. May be given several times.
    #[arg(long = "emit", value_name = "EVENT ARG…")]
    pub(crate) emits: Vec<String>,

    /// Answer each event that the server wants an ack for: one argument. Without it such events are not
    /// answered.
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    pub(crate) answer: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("\
With a server by `roomful dev` beside it:
  roomful connect http://localhost:3000
  > room:join lobby ?
  > room:emit lobby hello {{\"from\": \"me\"}}
  > /quit

{PROMPT}

Where the standard input is no terminal its lines are the commands, one after the other, and the program ends
with them. The history is roomful/history below $XDG_STATE_HOME (~/.local/state): 1000 lines, without what is
said by /auth and without lines that begin with a space.

{EXIT_CODES}"))]
pub(crate) struct PromptOptions {
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

/// What can be said at the prompt.
pub(crate) const PROMPT: &str =
    "  EVENT ARG…      sends an event; an ARG is JSON, a text, 'a text with spaces' or @file
  EVENT ARG… ?    asks for the ack, and prints it and its time
  /namespace X    leaves this namespace for another one
  /auth JSON      what the namespace is told from the next /connect on; @file reads it
  /disconnect     leaves the namespace
  /connect        connects again
  /history        prints the lines before
  /help           prints this
  /quit           ends, as Ctrl-D does";

/// More is the same as for ever.
const SECONDS_MAX: f64 = 31_536_000.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("a number of seconds above 0, at most a year, such as 2.5".to_owned()),
    }
}
