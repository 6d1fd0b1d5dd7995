//! What was measured, as Markdown.

use std::fmt::Write as _;

use crate::data::{At, Data, Kind, Outcome};
use crate::servers::{self, FLOOR};
use crate::spread::{Spread, number};
use crate::table::{Table, cell};
use crate::targets::{self, Target};

/// What is said about how it was measured: of servers first, and of clients.
const METHOD: &str = include_str!("../method.md");
/// Where the second part begins.
const METHOD_OF_CLIENTS: &str = "## How clients were measured\n";
/// Of an error, in a table.
const WHY_LEN_MAX: usize = 100;

/// The whole report.
pub(crate) fn whole(data: &Data) -> String {
    let mut text = format!("# Results\n\n{}\n\n", head(data));
    let failures = failures(data);
    if !failures.is_empty() {
        let _ = writeln!(text, "{failures}");
    }
    // What must hold is about servers, of which some cases have the names.
    let judged = match data.kind {
        Kind::Server => format!("{}{}\n", targets(data), missing(data)),
        Kind::Client => String::new(),
    };
    let method = method(data.kind);
    let _ = writeln!(text, "{judged}{method}\n{}", versions(data));
    text.push_str("## Cases\n\n");
    let cases: Vec<String> = data.cases.iter().map(|outcome| case(data, outcome)).collect();
    text.push_str(&cases.join("\n"));
    text
}

fn method(kind: Kind) -> &'static str {
    let (servers, clients) =
        METHOD.split_at(METHOD.find(METHOD_OF_CLIENTS).unwrap_or(METHOD.len()));
    match kind {
        Kind::Server => servers.strip_suffix('\n').unwrap_or(servers),
        Kind::Client => clients,
    }
}

/// When, where and how.
pub(crate) fn head(data: &Data) -> String {
    let Data { date, command, seconds, machine, .. } = data;
    let measured = data.measured();
    let times = if measured == "1" { "once" } else { &format!("{measured} times") };
    let each = format!("each case measured {times} for {seconds} s");
    if command.contains('\n') {
        return format!(
            "{date}, on {machine}, {each} where nothing else is said:\n\n```sh\n{command}\n```"
        );
    }
    format!("{date}, on {machine}: `{command}`, {each}.")
}

/// What of this repository has failed; empty when nothing has.
pub(crate) fn failures(data: &Data) -> String {
    let mut text = String::new();
    for (case, server, why) in data.failures(servers::is_own) {
        let _ = writeln!(text, "**FAILED**: {server} in `{case}`: {}\n", cell(why, WHY_LEN_MAX));
    }
    text
}

/// What must hold, as far as it was measured, and whether it does; empty when nothing was.
pub(crate) fn targets(data: &Data) -> String {
    let head = ["", "must be", "measured (min..max)", "bare server's own", "holds"];
    let mut table = Table::new(2, head.map(str::to_owned).to_vec());
    for target in targets::all() {
        let (measured, holds) = match target.measured(data) {
            Some(measured) => (measured.to_string(), target.holds(measured)),
            None if target.has_failed(data) => ("failed".to_owned(), false),
            None => continue,
        };
        let beside = told(target.beside(data));
        let holds = if holds { "yes" } else { "**no**" };
        table.row(vec![subject(target), target.wanted(), measured, beside, holds.to_owned()]);
    }
    if table.is_empty() { String::new() } else { format!("## What must hold\n\n{table}") }
}

/// What of that was not measured.
fn missing(data: &Data) -> String {
    let is_missing = |target: &&Target| target.measured(data).is_none() && !target.has_failed(data);
    let missing: Vec<String> = targets::all().iter().filter(is_missing).map(subject).collect();
    if missing.is_empty() {
        return String::new();
    }
    format!("\nNot measured in this run: {}.\n", missing.join("; "))
}

fn subject(target: &Target) -> String {
    format!("`{}` {}", target.case, titled(target.figure))
}

/// What came of one case.
pub(crate) fn case(data: &Data, case: &Outcome) -> String {
    let mut text = format!("### {}\n\n`{}`, {}\n\n", case.title, case.name, case.unit);
    let figures = case.figures();
    // There is none where all have failed.
    let (first, others) = figures.split_first().unwrap_or((&"", &[]));
    let best = best_peer(data, case, first);
    let has_floor = case.spread(FLOOR, first).is_some();
    let mut head = vec![data.kind.name().to_owned(), "median (min..max)".to_owned()];
    head.extend(has_floor.then(|| "× floor".to_owned()));
    head.extend(best.map(|best| format!("× {best}")));
    head.extend(others.iter().map(|name| titled(name)));
    let mut table = Table::new(1, head);
    for server in &data.servers {
        let at = At { case: &case.name, server: &server.name, figure: first };
        if let Some(why) = case.failure(&server.name) {
            let why = format!("failed: {}", cell(why, WHY_LEN_MAX));
            table.remark(server.name.clone(), why);
        } else if let Some(spread) = data.spread(at) {
            let ratio = |to: &str| told(data.ratio(at, At { server: to, ..at }));
            let mut cells = vec![server.name.clone(), spread.to_string()];
            cells.extend(has_floor.then(|| ratio(FLOOR)));
            cells.extend(best.map(ratio));
            cells.extend(others.iter().map(|figure| {
                let spread = data.spread(At { figure, ..at });
                spread.map_or(String::new(), |spread| number(spread.median))
            }));
            table.row(cells);
        }
    }
    let _ = write!(text, "{table}");
    text
}

/// The peer with the best figure, which is the smallest, since it is a cost.
fn best_peer<'a>(data: &'a Data, case: &Outcome, figure: &str) -> Option<&'a str> {
    let peers = data.servers.iter().filter(|server| !servers::is_own(&server.name));
    let measured = peers.filter_map(|server| {
        let at = At { case: &case.name, server: &server.name, figure };
        Some((server.name.as_str(), data.spread(at)?.median))
    });
    measured.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(name, _)| name)
}

fn told(spread: Option<Spread>) -> String {
    spread.map_or(String::new(), |spread| spread.to_string())
}

/// `p99_us` as the head of a column.
fn titled(figure: &str) -> String {
    let (name, unit) = match figure.rsplit_once('_') {
        Some((name, "us")) => (name, ", µs"),
        Some((name, "ms")) => (name, ", ms"),
        Some((name, "ns")) => (name, ", ns"),
        _ => (figure, ""),
    };
    format!("{}{unit}", name.replace("p999", "p99.9").replace('_', " "))
}

fn versions(data: &Data) -> String {
    let kind = data.kind.name();
    let head = [kind, "what it is", "version"];
    let mut table = Table::new(3, head.map(str::to_owned).to_vec());
    for server in &data.servers {
        table.row(vec![server.name.clone(), server.title.clone(), server.version.clone()]);
    }
    let title = match data.kind {
        Kind::Server => "Servers",
        Kind::Client => "Clients",
    };
    format!("## {title}\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_has_a_part_for_each_kind() {
        assert!(method(Kind::Server).starts_with("## How it was measured\n"));
        assert!(method(Kind::Server).ends_with("25 seconds.\n"));
        assert!(method(Kind::Client).starts_with(METHOD_OF_CLIENTS));
    }
}
