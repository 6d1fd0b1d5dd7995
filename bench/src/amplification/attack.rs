//! [`Attack`]: one input that an attacker has, and what it does with it.

use super::attacker::Attacker;
use crate::Result;

pub(super) struct Attack {
    pub(super) name: &'static str,
    /// What is sent, in one line.
    pub(super) what: &'static str,
    /// Whether the attacker has to be let into a namespace before.
    pub(super) login: bool,
    /// What the victim is beside itself.
    pub(super) option: Option<&'static str>,
    /// Which limit bounds it, and why that is enough.
    pub(super) bound: &'static str,
    /// The counter that says that the victim has met what was meant.
    pub(super) counter: &'static str,
    run: fn(&mut Attacker) -> Result<()>,
}

impl Attack {
    pub(super) const fn new(
        name: &'static str,
        what: &'static str,
        run: fn(&mut Attacker) -> Result<()>,
    ) -> Self {
        let (login, option, bound, counter) = (false, None, "", "");
        Self { name, what, login, option, bound, counter, run }
    }

    /// Only who was let in can do it.
    pub(super) const fn login(mut self) -> Self {
        self.login = true;
        self
    }

    /// Only where the server is more than by default.
    pub(super) const fn option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    pub(super) const fn bound(mut self, bound: &'static str) -> Self {
        self.bound = bound;
        self
    }

    /// This counter must have counted it.
    pub(super) const fn counted(mut self, counter: &'static str) -> Self {
        self.counter = counter;
        self
    }

    pub(super) fn run(&self, attacker: &mut Attacker) -> Result<()> {
        (self.run)(attacker)
    }
}
