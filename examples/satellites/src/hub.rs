//! The hub: who may come, what is said to whom, and what satellites are to observe.

use std::sync::Arc;
use std::time::Duration;

use roomful::{
    Broadcast, ConnectionFlow, EventError, Hello, Origins, Rate, Reason, Recipients, Refusal,
    Server, Socket,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep};

use crate::sky::Sky;
use crate::traffic::list;

const NAME_CHARS_MAX: usize = 20;
const TEXT_BYTES_MAX: usize = 1_000;
/// Each has so many events in a second; beyond them they wait.
const EVENTS: u32 = 50;
/// A sector is to be observed so often, by whoever has the least to do.
const PACE: Duration = Duration::from_secs(1);
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Before a sector is given to another one.
const PAUSE: Duration = Duration::from_millis(100);
/// Sectors that are observed at the same time.
const SECTORS_MAX: usize = 16;

pub(crate) type Hub = Server<Arc<Sky>>;
/// A satellite, as the hub sees it.
type Satellite = Socket<Arc<Sky>, Identity>;

/// What a satellite says of itself.
#[derive(Deserialize)]
struct Identity {
    name: String,
    /// The room in the namespace of its group.
    subgroup: Option<String>,
}

#[derive(Deserialize)]
struct Speech {
    text: String,
    #[serde(default)]
    to: To,
}

/// Whom a speech is for: `"all"`, `{"satellite": "vega"}`, `{"group": "low"}` or
/// `{"subgroup": ["low", "north"]}`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    #[default]
    All,
    Satellite(String),
    Group(String),
    Subgroup(String, String),
}

/// What a satellite is told of its speech.
#[derive(Serialize)]
struct Heard {
    text: String,
    /// How many satellites it went to.
    reached: usize,
}

/// A satellite that says nothing for `ping_interval`, and half of it more, is gone.
pub(crate) fn build(sky: Arc<Sky>, ping_interval: Duration) -> Hub {
    let traffic = sky.traffic.clone();
    let hub = Server::builder()
        .origins(Origins::Any)
        .ping_interval(ping_interval)
        .ping_timeout(ping_interval / 2)
        .connection_flow(ConnectionFlow::new().pace(Rate::per_second(EVENTS)))
        .state(sky)
        .build();
    let satellites = hub.of("/").connect(enter);
    satellites.on_connect(async |me: Satellite| {
        me.state().traffic.notes("rises", &json!(me.data().name));
        // One that comes back takes the place of what was left of it.
        me.to(&me.data().name).close();
        me.join(&me.data().name);
        me.state().rises(me.id());
    });
    satellites.on_disconnect(async |me: Satellite, why: Reason| {
        me.state().traffic.notes("sets", &json!([me.data().name, why.as_str()]));
        me.state().sets(me.id());
    });
    let groups = hub.clone();
    satellites.on("speak", move |me: Satellite, speech: Speech| {
        let groups = groups.clone();
        async move { speak(&groups, &me, speech) }
    });
    let shown = traffic.clone();
    satellites.on_any(move |me, event, args| {
        shown.hears(event, &list(args.as_json()), &format!("from {}", me.data().name));
    });

    let crews = hub.of_pattern("/groups/{group}").connect(enter);
    crews.on_connect(async |me: Satellite| {
        if let Some(room) = &me.data().subgroup {
            me.join(room);
        }
    });

    hub.on_any_outgoing(move |to, event, args| {
        let to = match to {
            Recipients::One(_) => "to one",
            _ => "to many",
        };
        traffic.sends(event, &list(args.as_json()), to);
    });
    hub
}

async fn enter(hello: Hello<Arc<Sky>>) -> Result<Identity, Refusal> {
    let identity: Identity = hello.auth()?;
    let is_name = |name: &String| {
        (1..=NAME_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match is_name(&identity.name) && identity.subgroup.as_ref().is_none_or(is_name) {
        true => Ok(identity),
        false => Err(Refusal::new("a name has 1 to 20 letters, digits and dashes")),
    }
}

/// Passes on what a satellite says.
fn speak(hub: &Hub, me: &Satellite, Speech { text, to }: Speech) -> Result<(), EventError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(EventError::new("TOO_LONG", "a speech has at most 1,000 bytes"));
    }
    let (event, to): (_, Option<Broadcast>) = match to {
        To::All => ("cool-thing-happened", Some(me.others())),
        To::Satellite(name) => ("incoming-message", Some(me.to(name))),
        To::Group(group) => ("incoming-message", crew(hub, &group).map(|crew| crew.everyone())),
        To::Subgroup(group, room) => {
            ("incoming-message", crew(hub, &group).map(|crew| crew.to(room)))
        }
    };
    let reached = to.map_or(0, |to| {
        to.emit(event, json!({ "from": me.data().name, "text": text }));
        to.local_ids().len()
    });
    me.emit("heard", &Heard { text, reached });
    Ok(())
}

fn crew(hub: &Hub, group: &str) -> Option<roomful::Namespace<Arc<Sky>>> {
    hub.find(&format!("/groups/{group}"))
}

/// Has one sector after the other observed, for ever.
pub(crate) async fn watch(hub: Hub, sky: Arc<Sky>) {
    let mut pace = interval(PACE);
    let places = Arc::new(Semaphore::new(SECTORS_MAX));
    for sector in 1_u32.. {
        pace.tick().await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (hub, sky) = (hub.clone(), Arc::clone(&sky));
        tokio::spawn(async move {
            observe(&hub, &sky, sector).await;
            drop(place);
        });
    }
}

/// Has a sector observed, by as many satellites as it takes.
async fn observe(hub: &Hub, sky: &Sky, sector: u32) {
    let (mut before, traffic) = (None, &sky.traffic);
    loop {
        let id = sky.take(before).await;
        let Some(satellite) = hub.socket(id) else {
            sky.sets(id);
            continue;
        };
        let seen = satellite.call::<_, _, String>("observe", sector).timeout(OBSERVE_TIMEOUT).await;
        sky.done(id);
        match seen {
            Ok(seen) => {
                return traffic.notes("observed", &json!({ "sector": sector, "seen": seen }));
            }
            Err(error) => {
                let why = error.to_string();
                traffic.notes("given-to-another", &json!({ "sector": sector, "why": why }));
                before = Some(id);
                sleep(PAUSE).await;
            }
        }
    }
}
