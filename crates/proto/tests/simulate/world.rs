//! [`World`]: some nodes and what happens to them, all of it made of one number.

use std::mem::take;

use roomful_proto::Moment;

use crate::bus::Bus;
use crate::dice::Dice;
use crate::history::{Chosen, Crowd, Entry, History, ROOMS, Rooms, Who};
use crate::liar::lie;
use crate::node::{Life, Node};
use crate::rules::Rules;
use crate::scene::{Due, Scene, Turn};

/// Nodes that are there at the same time.
const NODES_MAX: usize = 8;
/// So many there are in all, since a crowd has no more.
const LIVES_MAX: u8 = 100;
/// When nothing new is begun, and when all is over: the longest request, and some silence.
const ACTIVE: Moment = Moment::from_millis(30_000);
const END: Moment = Moment::from_millis(75_000);
/// How long requests are waited for.
const PATIENCES_MS: [u64; 4] = [100, 1_000, 5_000, 30_000];

pub(crate) struct World {
    scene: Scene,
    bus: Bus,
    nodes: Vec<Node>,
}

impl World {
    /// What happens by some rules.
    pub(crate) fn history(rules: Rules, dice: Dice) -> History {
        let (scene, bus) = (Scene::new(rules, dice), Bus::default());
        let mut world = Self { scene, bus, nodes: Vec::new() };
        for _ in 0..world.scene.dice.between(2, NODES_MAX as u64) {
            let ms = world.scene.dice.below(3_000);
            world.scene.plan(ms, Due::Start);
        }
        world.scene.plan(0, Due::Operate);
        while let Some(due) = world.scene.next(END) {
            world.happen(due);
        }
        let here = world.nodes.iter_mut().filter(|node| node.life == Life::Here);
        here.for_each(|node| node.rest(&mut world.scene));
        take(&mut world.scene.history)
    }

    fn happen(&mut self, due: Due) {
        let Self { scene, bus, nodes } = self;
        match due {
            Due::Operate => self.operate(),
            Due::Start => self.start(),
            Due::Heal => {
                bus.cut = None;
                scene.note(Entry::Healed);
            }
            Due::EngineBack => {
                bus.is_away = false;
                scene.note(Entry::EngineBack);
            }
            Due::Missed(who) => bus.unsubscribe(who),
            Due::At(who, turn) => {
                let node = &mut nodes[usize::from(who.0 - Who::FIRST.0)];
                if node.life != Life::Gone {
                    node.take_turn(scene, bus, turn);
                }
            }
        }
    }

    fn start(&mut self) {
        let number = Who::FIRST.0 + self.nodes.len() as u8;
        if self.here().len() < NODES_MAX && number < LIVES_MAX {
            let node = Node::start(&mut self.scene, &mut self.bus, Who(number));
            self.nodes.push(node);
        }
    }

    /// The nodes that take part, by their places.
    fn here(&self) -> Vec<usize> {
        let is_here = |at: &usize| self.nodes[*at].life == Life::Here;
        (0..self.nodes.len()).filter(is_here).collect()
    }

    /// Somebody does something, and later somebody else.
    fn operate(&mut self) {
        if self.scene.now >= ACTIVE {
            return;
        }
        let ms = self.scene.dice.between(20, 400);
        self.scene.plan(ms, Due::Operate);
        let here = self.here();
        let Some(at) = self.scene.dice.pick(&here) else {
            return;
        };
        let (to, scene) = (self.chosen(), &mut self.scene);
        let patience_ms = scene.dice.pick(&PATIENCES_MS).unwrap_or(0);
        let node = &mut self.nodes[at];
        match scene.dice.below(100) {
            0..40 => node.emit(scene, to),
            40..55 => node.ask_clients(scene, to, patience_ms),
            55..65 => node.fetch(scene, to, patience_ms),
            65..72 => node.ask_servers(scene, patience_ms),
            72..78 => {
                let rooms = some_rooms(&mut scene.dice, 1);
                let joins = scene.dice.one_in(2);
                node.move_all(scene, to, rooms, joins);
            }
            78..86 => node.move_one(scene),
            86..88 => self.leave(at),
            88..90 => self.start_later(),
            _ if scene.rules.is_sound => {}
            90..92 => self.kill(at),
            92 => self.cut(&here),
            93 => self.lose_engine(),
            _ if scene.rules.has_liar => {
                let others: Vec<_> = here.iter().map(|at| self.nodes[*at].who).collect();
                lie(&mut self.scene, &self.nodes[at], &others);
            }
            _ => {}
        }
    }

    /// A room, two, or everyone; but for those of another now and then.
    fn chosen(&mut self) -> Chosen {
        let dice = &mut self.scene.dice;
        let (count, but) = (dice.below(3), u64::from(dice.one_in(5)));
        Chosen { rooms: some_rooms(dice, count), except: some_rooms(dice, but) }
    }

    fn start_later(&mut self) {
        let ms = self.scene.dice.below(5_000);
        self.scene.plan(ms, Due::Start);
    }

    fn leave(&mut self, at: usize) {
        self.nodes[at].leave(&mut self.scene);
        self.start_later();
    }

    fn kill(&mut self, at: usize) {
        self.nodes[at].die(&mut self.scene);
        let ms = self.scene.dice.below(20_000);
        self.scene.plan(ms, Due::Missed(self.nodes[at].who));
        self.start_later();
    }

    fn cut(&mut self, here: &[usize]) {
        if self.bus.cut.is_some() {
            return;
        }
        let dice = &mut self.scene.dice;
        let half = here.iter().filter(|_| dice.one_in(2));
        let half: Crowd = half.map(|at| self.nodes[*at].who).collect();
        let ms = dice.between(100, 20_000);
        self.bus.cut = Some(half);
        self.scene.note(Entry::Cut(half));
        self.scene.plan(ms, Due::Heal);
    }

    fn lose_engine(&mut self) {
        if self.bus.is_away {
            return;
        }
        self.bus.go();
        self.scene.note(Entry::EngineAway);
        let ms = self.scene.dice.between(10, 20_000);
        self.scene.plan(ms, Due::EngineBack);
        // Some notice at once, others when they publish something, or by a sign of life that does not come.
        for node in &self.nodes {
            let ms = if self.scene.dice.one_in(2) { 0 } else { self.scene.dice.below(5_000) };
            self.scene.plan_turn(ms, node.who, Turn::Notice);
        }
    }
}

/// Shows what came before a panic.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.scene.history.lines(self.scene.history.entries.len()));
        }
    }
}

fn some_rooms(dice: &mut Dice, count: u64) -> Rooms {
    Rooms((0..count).fold(0, |rooms, _| rooms | 1 << dice.below(u64::from(ROOMS))))
}
