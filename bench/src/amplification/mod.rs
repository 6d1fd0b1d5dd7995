//! What an attacker can make a server do with each byte: CPU, and memory that it holds.
//!
//! Each [attack](attacks) runs twice against a server that is a process of its own: as a flood for its CPU, and
//! with many connections that stay for its memory. The figures go into `docs/security.md`.

mod aftermath;
mod attack;
mod attacker;
mod attacks;
mod page;
mod victim;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::attack::Attack;
use self::attacker::{Attacker, Cost, Side};
use self::victim::{Heap, Victim};
use crate::machine::Machine;
use crate::{Result, data, fail, process};

/// What a byte of an attacker who was not let in may cost at most, or there is a limit that bounds it.
const CPU_NS_MAX: f64 = 250.0;
const HELD_MAX: f64 = 20.0;

#[derive(Args)]
pub(crate) struct Plan {
    /// Only attacks with these beginnings of names, or `aftermath`.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Puts the tables into this page, between its marks.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Writes what was measured, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What was measured of an attack.
#[derive(Serialize)]
pub(crate) struct Row {
    name: &'static str,
    what: &'static str,
    login: bool,
    option: Option<&'static str>,
    /// For each byte of the attacker's packets.
    cpu_ns: f64,
    held: f64,
    /// For each thing that it does: a packet, a request or a connection.
    item_bytes: f64,
    item_cpu_us: f64,
    item_held: f64,
    bound: &'static str,
}

impl Plan {
    fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only))
    }

    /// Measures, prints, and says whether all is bounded.
    pub(crate) fn run(&self) -> Result<bool> {
        // Before it sees but one of the cores.
        let machine = Machine::here()?;
        process::take_second_cpu()?;
        let mut rows = Vec::new();
        let mut well = true;
        for attack in attacks::all().iter().filter(|attack| self.has(attack.name)) {
            match Row::measure(attack) {
                Ok(row) => {
                    eprintln!("{:24} {:8.1} ns {:8.2} B", row.name, row.cpu_ns, row.held);
                    well &= row.is_bounded();
                    rows.push(row);
                }
                Err(error) => {
                    eprintln!("{:24} FAILED: {error}", attack.name);
                    well = false;
                }
            }
        }
        let after = if self.has("aftermath") { aftermath::measure()? } else { Vec::new() };
        let (table, after_table) = (page::table(&rows, &machine), page::after(&after, &machine));
        println!("{table}\n{after_table}");
        if let Some(path) = &self.page {
            page::write(path, &[(page::TABLE, &table), (page::AFTER, &after_table)])?;
        }
        if let Some(path) = &self.json {
            data::write(path, &serde_json::to_string_pretty(&rows)?)?;
        }
        Ok(well)
    }
}

/// Runs one side of an attack.
fn attack(attack: &Attack, side: Side, heap: Heap) -> Result<Cost> {
    let mut attacker = Attacker::new(Victim::start(heap, attack.option, &[])?, side)?;
    if side == Side::Hold {
        // What threads keep for everybody is there from the first time on, and no attacker's.
        attack.run(&mut attacker)?;
        attacker.rest()?;
        attacker.cut_all()?;
    }
    attacker.begin()?;
    attack.run(&mut attacker)?;
    let cost = attacker.cost()?;
    // An attack that is not what it says would cost nothing, and look well.
    let count = |name: &str| {
        cost.counted.iter().find(|(counter, _)| counter == name).map_or(0, |(_, count)| *count)
    };
    if !attack.counter.is_empty() && count(attack.counter) == 0 {
        return fail(format!("{} has not counted it", attack.counter));
    }
    if attack.counter != "violations" && count("violations") > 0 {
        return fail("the victim took it for a violation");
    }
    Ok(cost)
}

impl Row {
    fn measure(attack: &Attack) -> Result<Self> {
        let flood = self::attack(attack, Side::Flood, Heap::Mimalloc)?;
        let hold = self::attack(attack, Side::Hold, Heap::Counting)?;
        let (bytes, items) = (flood.bytes.max(1) as f64, flood.items.max(1) as f64);
        let cpu_ns = flood.cpu.as_secs_f64() * 1e9;
        Ok(Self {
            name: attack.name,
            what: attack.what,
            login: attack.login,
            option: attack.option,
            cpu_ns: cpu_ns / bytes,
            held: hold.peak as f64 / hold.bytes.max(1) as f64,
            item_bytes: bytes / items,
            item_cpu_us: cpu_ns / items / 1e3,
            item_held: hold.peak as f64 / hold.items.max(1) as f64,
            bound: attack.bound,
        })
    }

    fn is_cheap(&self) -> bool {
        self.cpu_ns <= CPU_NS_MAX && self.held <= HELD_MAX
    }

    /// Whether it is cheap for the server, or a limit bounds it.
    fn is_bounded(&self) -> bool {
        self.is_cheap() || !self.bound.is_empty()
    }
}
