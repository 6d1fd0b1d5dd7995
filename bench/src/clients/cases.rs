//! [`Case`]: what is asked of a client.

use std::time::Duration;

use super::program::{Program, Seen};
use crate::cases::Figure;
use crate::servers::{self, Contestant};
use crate::spread::number;
use crate::{Result, fail};

/// The server has the first CPU, and the client the second.
const SERVER_CPU: &str = "0";
const CLIENT_CPU: &str = "1";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    /// An event with its ack, so many under way.
    Call { in_flight: usize },
    /// Events at a pace.
    Receive { per_second: u32 },
    /// Events as many as come.
    Flood,
    /// Connections that come and go.
    Connect,
    /// Clients that do nothing.
    Idle { clients: usize },
}

/// All cases, in the order of the tables.
pub(crate) fn all() -> Vec<Case> {
    vec![
        Case::Call { in_flight: 1 },
        Case::Call { in_flight: 16 },
        Case::Receive { per_second: 1_000 },
        Case::Flood,
        Case::Connect,
        Case::Idle { clients: 10_000 },
    ]
}

impl Case {
    /// As it is called on the command line and in the data, and as a client is asked for it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Call { in_flight } => format!("call-{in_flight}"),
            Self::Receive { per_second } => format!("receive-{per_second}"),
            Self::Flood => "receive-flood".to_owned(),
            Self::Connect => "connect".to_owned(),
            Self::Idle { clients } => format!("idle-{clients}"),
        }
    }

    /// As it is called in a table.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Call { in_flight: 1 } => "an event with its ack, one by one".to_owned(),
            Self::Call { in_flight } => format!("an event with its ack, {in_flight} at a time"),
            Self::Receive { per_second } => {
                format!("an event received, {} a second", number(f64::from(*per_second)))
            }
            Self::Flood => "an event received, as many as come".to_owned(),
            Self::Connect => "connect by WebSocket, join the namespace, go".to_owned(),
            Self::Idle { clients } => format!("memory of an idle client, of {clients}"),
        }
    }

    /// What its first figure is, with its unit.
    pub(crate) const fn unit(&self) -> &'static str {
        match self {
            Self::Call { .. } | Self::Receive { .. } | Self::Flood => "µs of CPU per event",
            Self::Connect => "µs of CPU per connection",
            Self::Idle { .. } => "KiB resident per client",
        }
    }

    /// How long a client may take beside the time that it is measured.
    const fn patience(&self) -> Duration {
        match self {
            Self::Idle { .. } => Duration::from_secs(300),
            _ => Duration::from_secs(30),
        }
    }

    /// Measures one client, with a server of its own.
    pub(crate) fn run(&self, client: &Contestant, seconds: f64) -> Result<Vec<Figure>> {
        let server = servers::of_clients()?.start(SERVER_CPU)?;
        let arguments = [self.name(), format!("http://{}", server.address), format!("{seconds}")];
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|error| format!("--seconds {seconds}: {error}"))?;
        let mut program = Program::start(client, CLIENT_CPU, &arguments, time + self.patience())?;
        let before = program.ready()?;
        let (after, count) = program.end()?;
        if count.done == 0 {
            return fail("nothing was done in the time");
        }
        let done = count.done as f64;
        let cpu = Seen::cpu_between(&before, &after)?.as_secs_f64() * 1e6 / done;
        let rate = ("per_second", done / count.seconds);
        Ok(match self {
            Self::Idle { clients } => {
                if count.done != *clients as u64 {
                    return fail(format!("{done} clients have connected"));
                }
                let kib = (after.resident_kib - before.resident_kib) / done;
                vec![("kib", kib), ("connect_cpu_us", cpu)]
            }
            Self::Connect => vec![("cpu_us", cpu), ("each_ms", count.seconds * 1e3 / done), rate],
            Self::Call { .. } | Self::Receive { .. } | Self::Flood => vec![("cpu_us", cpu), rate],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::contract;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let mut names: Vec<_> = all().iter().map(Case::name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn clients_know_each_case_by_its_name() {
        for case in all() {
            assert!(contract::Case::named(&case.name()).is_some(), "{}", case.name());
        }
        for name in ["", "call", "call-x", "receive", "connect-1", "idle-", "idle-10-0"] {
            assert!(contract::Case::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn each_peer_has_a_name_of_its_own() -> Result<()> {
        let peers: Vec<Contestant> =
            serde_json::from_str(include_str!("../../peers/clients.json"))?;
        let mut names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), peers.len());
        assert!(!names.into_iter().any(servers::is_own));
        Ok(())
    }
}
