//! A satellite: a program of its own, which speaks, hears, and observes what it is asked to.

use std::env;
use std::error::Error;
use std::time::Duration;

use roomful_client::{Manager, Reconnection, Socket};
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

use crate::traffic::{Traffic, list};

/// How often it says something.
const PACE: Duration = Duration::from_secs(2);

/// Who it is.
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) subgroup: String,
}

/// Lives until the hub refuses it.
pub(crate) async fn live(
    hub: &str,
    Name { name, group, subgroup }: Name,
) -> Result<(), Box<dyn Error>> {
    let traffic = Traffic::of(&name);
    // How long it looks at a sector.
    let look = env::var("LOOK_MS").map_or(Ok(300), |ms| ms.parse())?;
    let manager = Manager::builder(hub)?
        .reconnection(Reconnection::every(Duration::from_millis(500)))
        .build()?;
    // One connection, and a namespace for all and one for its group.
    let io = manager.socket("/");
    let crew = manager.socket(&format!("/groups/{group}"));
    for socket in [&io, &crew] {
        socket.auth(json!({ "name": name, "subgroup": subgroup }))?;
        let (heard, sent) = (traffic.clone(), traffic.clone());
        socket.on_any(move |event, args| heard.hears(event, &list(args.as_json()), "from the hub"));
        socket.on_any_outgoing(move |event, args| {
            sent.sends(event, &list(args.as_json()), "to the hub")
        });
    }
    io.on("observe", move |_: Socket, sector: u32| async move {
        sleep(Duration::from_millis(look)).await;
        format!("{} stars", sector.wrapping_mul(2_654_435_761) % 100)
    });
    // Further attempts are made where the first one fails.
    drop((io.connect(), crew.connect()));
    io.connected().await?;
    let mut pace = interval(PACE);
    for whom in whom(&group, &subgroup).iter().cycle() {
        tokio::select! {
            _ = pace.tick() => {}
            status = io.closed() => return Err(format!("{name} was put out: {status:?}").into()),
        }
        io.emit("speak", json!({ "text": format!("{name} is well"), "to": whom }));
        // Nobody listens, which hurts nobody.
        io.emit("static", json!(["noise"]));
    }
    Ok(())
}

/// Whom it speaks to, one after the other.
fn whom(group: &str, subgroup: &str) -> [Value; 4] {
    [
        json!("all"),
        json!({ "satellite": "vega" }),
        json!({ "group": group }),
        json!({ "subgroup": [group, subgroup] }),
    ]
}
