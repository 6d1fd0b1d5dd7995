//! Many people at once: how long an edit takes to all of them, and that none is lost or doubled.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use roomful_client::{EventError, Manager, Socket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

const HELP: &str = "\
Usage: collab-load URL [--clients 200] [--seconds 60] [--rate 40] [--json]

Lets so many people edit the plans of four states, one after the other: `rate` edits a second of all
together. Each hears that something has changed and fetches what has, as a page does. Says what became
of the edits, and fails when one was lost or doubled. The server must be one for trying things.
";

const STATES: [&str; 4] = ["ohio", "oregon", "texas", "vermont"];
/// The fields that are edited: the fewer, the more conflicts.
const FIELDS: [&str; 10] = [
    "overview.title",
    "overview.agency",
    "overview.contact",
    "overview.summary",
    "goals.first",
    "goals.second",
    "goals.measure",
    "budget.notes",
    "risks.main",
    "risks.mitigation",
];
/// The least time between two fetches of a person, as of a page.
const FETCH_PAUSE: Duration = Duration::from_millis(300);
/// How long the last edits may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often somebody tries whose edit meets that of another, or has no answer.
const TRIES: usize = 8;
/// Edits times people: what is compared in the end.
const ARRIVALS_MAX: usize = 100_000_000;
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

type Failed = Box<dyn Error + Send + Sync>;

struct Options {
    url: String,
    clients: usize,
    seconds: usize,
    rate: usize,
    json: bool,
}

impl Options {
    /// `None` where help is wanted.
    fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options =
            Self { url: String::new(), clients: 200, seconds: 60, rate: 40, json: false };
        while let Some(arg) = args.next() {
            let number = match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => {
                    options.json = true;
                    continue;
                }
                "--clients" => &mut options.clients,
                "--seconds" => &mut options.seconds,
                "--rate" => &mut options.rate,
                _ if arg.starts_with('-') || !options.url.is_empty() => {
                    return Err(format!("what is {arg}?"));
                }
                _ => {
                    options.url = arg;
                    continue;
                }
            };
            let value = args.next().and_then(|value| value.parse().ok());
            *number = value
                .filter(|value| (1..=100_000).contains(value))
                .ok_or_else(|| format!("{arg} takes a number from 1 to 100,000"))?;
        }
        if !options.url.starts_with("http://") {
            return Err("where is the server? http://…".into());
        }
        if options.edits().saturating_mul(options.clients) > ARRIVALS_MAX {
            return Err("this is too much for one run".into());
        }
        Ok(Some(options))
    }

    const fn edits(&self) -> usize {
        self.rate.saturating_mul(self.seconds)
    }
}

/// Somebody with a document open.
struct Person {
    state: &'static str,
    cookie: String,
    socket: Socket,
    /// The highest version of which it has heard.
    told: watch::Sender<i64>,
    heard: Mutex<Vec<i64>>,
    seen: Mutex<Seen>,
}

/// What a person knows of its document.
#[derive(Default)]
struct Seen {
    version: i64,
    /// For each field the versions that it has had here, and when.
    fields: HashMap<String, Vec<(i64, Instant)>>,
}

impl Seen {
    fn see(&mut self, field: &str, version: i64) {
        let versions = self.fields.entry(field.to_owned()).or_default();
        if versions.last().is_none_or(|(last, _)| *last < version) {
            versions.push((version, Instant::now()));
        }
    }

    /// The version of a field that an edit is based on.
    fn base(&self, field: &str) -> i64 {
        self.fields.get(field).and_then(|versions| versions.last()).map_or(0, |(last, _)| *last)
    }

    /// When that version of a field, or a later one, was there.
    fn when(&self, field: &str, version: i64) -> Option<Instant> {
        let versions = self.fields.get(field)?;
        let index = versions.partition_point(|(seen, _)| *seen < version);
        versions.get(index).map(|(_, at)| *at)
    }
}

/// An edit that was acknowledged.
struct Stored {
    person: usize,
    field: &'static str,
    version: i64,
    at: Instant,
}

#[derive(Default)]
struct Tally {
    stored: Vec<Stored>,
    conflicts: usize,
    repeated: usize,
    refused: Vec<String>,
}

#[derive(Deserialize)]
struct Change {
    version: i64,
}

#[derive(Deserialize)]
struct Changes {
    version: i64,
    fields: HashMap<String, Change>,
}

/// A connection that is kept, for plain HTTP.
struct Http {
    host: String,
    stream: TcpStream,
}

impl Http {
    async fn connect(url: &str) -> Result<Self, Failed> {
        let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { stream: TcpStream::connect(&host).await?, host })
    }

    /// The head and the body that are answered.
    async fn ask(
        &mut self,
        request: &str,
        cookie: &str,
        body: &str,
    ) -> Result<(String, Vec<u8>), Failed> {
        let (host, length) = (&self.host, body.len());
        let text = format!(
            "{request} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
                let length =
                    head.split("content-length: ").nth(1).and_then(|text| text.lines().next());
                let length: usize = length.map_or(Ok(0), str::parse)?;
                if answer.len() >= end + 4 + length {
                    return Ok((head, answer.split_off(end + 4)));
                }
            }
            if answer.len() > ANSWER_BYTES_MAX || self.stream.read_buf(&mut answer).await? == 0 {
                return Err("the server has hung up, or says too much".into());
            }
        }
    }
}

impl Person {
    /// Logs in and opens the document of a state, which is there then.
    async fn arrive(url: &str, number: usize, run: &str) -> Result<Arc<Self>, Failed> {
        let state = STATES[number % STATES.len()];
        let login = json!({ "name": format!("Person {number}"), "code": format!("{state}-demo") });
        let (head, _) =
            Http::connect(url).await?.ask("POST /api/session", "", &login.to_string()).await?;
        let cookie = head.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next());
        let cookie = cookie.ok_or_else(|| format!("no log-in: {head}"))?.to_owned();
        let session = cookie.split('=').nth(1).unwrap_or_default();
        let socket = Manager::builder(url)?.build()?.socket("/");
        socket.auth(json!({ "session": session }))?;
        let (told, heard, seen) = (watch::Sender::new(0), Mutex::default(), Mutex::default());
        let person = Arc::new(Self { state, cookie, socket, told, heard, seen });
        let hearing = Arc::downgrade(&person);
        person.socket.on("changed", move |_: Socket, Change { version }: Change| {
            if let Some(person) = hearing.upgrade() {
                person.heard.lock().push(version);
                person.told.send_if_modified(|told| {
                    let is_newer = *told < version;
                    *told = version.max(*told);
                    is_newer
                });
            }
            std::future::ready(())
        });
        person.socket.connect().await?;
        let create = json!({ "state": state, "key": format!("{run}-{number}") });
        let created: Result<Value, EventError> = person.socket.call("createAPD", create).await?;
        created.map_err(|error| error.to_string())?;
        let joined: Result<Value, EventError> =
            person.socket.call("join", json!({ "room": state })).await?;
        joined.map_err(|error| error.to_string())?;
        Ok(person)
    }

    /// Fetches what has changed, now and whenever it is told that something has.
    async fn follow(self: Arc<Self>, url: String) -> Result<(), Failed> {
        let mut http = Http::connect(&url).await?;
        let mut told = self.told.subscribe();
        loop {
            let since = self.seen.lock().version;
            let request = format!("GET /api/documents/{}/changes?since={since}", self.state);
            let (head, body) = http.ask(&request, &self.cookie, "").await?;
            let changes: Changes =
                serde_json::from_slice(&body).map_err(|error| format!("{error}: {head}"))?;
            {
                let mut seen = self.seen.lock();
                for (field, Change { version }) in &changes.fields {
                    seen.see(field, *version);
                }
                seen.version = changes.version;
            }
            sleep(FETCH_PAUSE).await;
            told.wait_for(|told| *told > changes.version).await?;
        }
    }
}

/// Edits as a person does: sees what is there where somebody else was faster, and then says it again.
async fn edit(
    person: Arc<Person>,
    number: usize,
    index: usize,
    run: Arc<str>,
    tally: Arc<Mutex<Tally>>,
) {
    let random = u32::try_from(number).unwrap_or_default().wrapping_mul(2_654_435_761) >> 16;
    let field = FIELDS[random as usize % FIELDS.len()];
    let value = format!("Edit {number} of a measurement, as long as what people write in a hurry.");
    let (mut base, mut conflicts) = (person.seen.lock().base(field), 0);
    for _ in 0..TRIES {
        let key = format!("{run}-{number}-{conflicts}");
        let args = json!({
            "state": person.state, "field": field, "value": value, "base": base, "key": key,
        });
        let at = Instant::now();
        let answer = person.socket.call::<_, _, Result<Change, EventError>>("editAPD", args).await;
        match answer {
            Ok(Ok(Change { version })) => {
                person.seen.lock().see(field, version);
                tally.lock().stored.push(Stored { person: index, field, version, at });
                return;
            }
            Ok(Err(error)) if error.code() == "conflict" => {
                let there = error.details().and_then(|there| there["version"].as_i64());
                base = there.unwrap_or_default();
                person.seen.lock().see(field, base);
                conflicts += 1;
                tally.lock().conflicts += 1;
            }
            Ok(Err(error)) => return tally.lock().refused.push(error.code().to_owned()),
            Err(_) => tally.lock().repeated += 1,
        }
    }
    tally.lock().refused.push("no end of conflicts".to_owned());
}

async fn run(options: &Options) -> Result<bool, Failed> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let run: Arc<str> = format!("load-{:x}", since.as_nanos()).into();
    let mut people = Vec::with_capacity(options.clients);
    for number in 0..options.clients {
        people.push(Person::arrive(&options.url, number, &run).await?);
    }
    let before = versions(options, &people).await?;
    let following =
        people.iter().map(|person| tokio::spawn(Arc::clone(person).follow(options.url.clone())));
    let following: Vec<_> = following.collect();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(options.rate)?);
    let mut editing = Vec::with_capacity(options.edits());
    for number in 0..options.edits() {
        ticks.tick().await;
        let index = number % people.len();
        let person = Arc::clone(&people[index]);
        editing.push(tokio::spawn(edit(
            person,
            number,
            index,
            Arc::clone(&run),
            Arc::clone(&tally),
        )));
    }
    for one in editing {
        one.await?;
    }
    let after = versions(options, &people).await?;
    let complete = async {
        while people.iter().any(|person| person.seen.lock().version < after[person.state]) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // What has not come by then is lost, as the figures will say.
    let _ = timeout(PATIENCE, complete).await;
    for one in following {
        one.abort();
        if let Ok(Err(error)) = one.await {
            return Err(error);
        }
    }
    let edits: i64 = after.iter().map(|(state, version)| version - before[state]).sum();
    let tally = tally.lock();
    Ok(report(options, &people, &tally, edits))
}

/// The versions of all documents that are open.
async fn versions(
    options: &Options,
    people: &[Arc<Person>],
) -> Result<HashMap<&'static str, i64>, Failed> {
    let (mut http, mut versions) = (Http::connect(&options.url).await?, HashMap::new());
    for person in people.iter().take(STATES.len()) {
        let request = format!("GET /api/documents/{}", person.state);
        let (_, body) = http.ask(&request, &person.cookie, "").await?;
        let Change { version } = serde_json::from_slice(&body)?;
        versions.insert(person.state, version);
    }
    Ok(versions)
}

/// Prints what became of it all; whether nothing was lost or doubled.
fn report(options: &Options, people: &[Arc<Person>], tally: &Tally, edits: i64) -> bool {
    let (mut delays, mut lost) = (Vec::new(), 0);
    for Stored { person: editor, field, version, at } in &tally.stored {
        for (index, person) in people.iter().enumerate() {
            if index == *editor || person.state != people[*editor].state {
                continue;
            }
            match person.seen.lock().when(field, *version) {
                Some(seen) => delays.push(seen.saturating_duration_since(*at)),
                None => lost += 1,
            }
        }
    }
    delays.sort_unstable();
    let ms = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        let delay = delays.get(index.min(delays.len().saturating_sub(1)));
        delay.copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    let told_twice = people.iter().map(|person| {
        let mut heard = person.heard.lock().clone();
        heard.sort_unstable();
        heard.windows(2).filter(|two| two[0] == two[1] && two[0] > 0).count()
    });
    let (sent, stored, arrived) = (options.edits(), tally.stored.len(), delays.len());
    let twice = usize::try_from(edits).unwrap_or_default().saturating_sub(stored);
    let doubled = told_twice.sum::<usize>() + twice;
    let (p50, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
    let Tally { conflicts, repeated, refused, .. } = tally;
    let Options { clients, seconds, rate, .. } = *options;
    if options.json {
        let figures = json!({
            "clients": clients, "seconds": seconds, "rate": rate, "sent": sent, "stored": stored,
            "conflicts": conflicts, "refused": refused.len(), "repeated": repeated, "arrived": arrived,
            "lost": lost, "doubled": doubled, "p50_ms": p50, "p99_ms": p99, "max_ms": most,
        });
        println!("{figures}");
    } else {
        println!(
            "{clients} people in {} documents, {rate} edits a second for {seconds} s",
            STATES.len()
        );
        println!(
            "sent {sent}, stored {stored}, conflicts {conflicts}, refused {} {refused:?}, sent again {repeated}",
            refused.len()
        );
        println!("arrived {arrived} of {}, lost {lost}, doubled {doubled}", arrived + lost);
        println!(
            "from edit to whoever has fetched it: p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms"
        );
    }
    lost == 0 && doubled == 0 && stored == sent
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("collab-load: {why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("collab-load: {error}");
            ExitCode::FAILURE
        }
    }
}
