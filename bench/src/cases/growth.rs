//! A case while the server holds many things that the case does not use: they should not cost.

use super::entry::enter;
use super::{Case, Figure, Scale};
use crate::Result;
use crate::load::swarm::Swarm;
use crate::servers::{Contestant, Server};

const ROOMS: usize = 10_000;
const ROOMS_EACH: usize = 100;
const NAMESPACES: usize = 1_000;

/// A case while clients that do nothing are in many rooms.
pub(crate) struct ManyRooms<C>(pub(crate) C);

impl<C: Case> Case for ManyRooms<C> {
    fn name(&self) -> String {
        format!("many-rooms-{}", self.0.name())
    }

    fn title(&self) -> String {
        format!("{}, beside {ROOMS} rooms, {ROOMS_EACH} for each idle client", self.0.title())
    }

    fn unit(&self) -> &'static str {
        self.0.unit()
    }

    fn is_short(&self) -> bool {
        false
    }

    /// The bare servers know no names.
    fn takes(&self, server: &Contestant) -> bool {
        !server.name.starts_with("floor")
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut idle = Swarm::new(server.address)?;
        idle.grow(ROOMS / ROOMS_EACH)?;
        enter(&mut idle, |who| {
            (0..ROOMS_EACH).map(|room| format!("other{}", who * ROOMS_EACH + room)).collect()
        })?;
        self.0.run(server, scale)
    }
}

/// A case while there are many namespaces, each with a client that does nothing. Only Roomful has
/// been taught to open them.
pub(crate) struct ManyNamespaces<C>(pub(crate) C);

impl<C: Case> Case for ManyNamespaces<C> {
    fn name(&self) -> String {
        format!("many-namespaces-{}", self.0.name())
    }

    fn title(&self) -> String {
        format!("{}, beside {NAMESPACES} namespaces with a client each", self.0.title())
    }

    fn unit(&self) -> &'static str {
        self.0.unit()
    }

    fn is_short(&self) -> bool {
        false
    }

    fn takes(&self, server: &Contestant) -> bool {
        server.name == "roomful"
    }

    fn env(&self) -> Option<(&'static str, String)> {
        Some(("NAMESPACES", NAMESPACES.to_string()))
    }

    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>> {
        let mut idle = Swarm::new(server.address)?;
        for number in 0..NAMESPACES {
            idle.namespace(&format!("/n{number}"));
            idle.grow(number + 1)?;
        }
        self.0.run(server, scale)
    }
}
