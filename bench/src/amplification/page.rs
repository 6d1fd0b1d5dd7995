//! The tables of `docs/security.md`, which stand there between marks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::aftermath::After;
use super::{CPU_NS_MAX, HELD_MAX, Row};
use crate::Result;
use crate::machine::{self, Machine};

/// The names of the marks.
pub(super) const TABLE: &str = "amplification";
pub(super) const AFTER: &str = "aftermath";

/// The table of attacks; empty without one.
pub(super) fn table(rows: &[Row], machine: &Machine) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "{}\n| input | what is sent | login | CPU, ns a byte | held, bytes a byte | verdict |\n\
         |---|---|---|---:|---:|---|\n",
        measured(machine)
    );
    for row in rows {
        let login = if row.login { "yes" } else { "no" };
        let where_ = row.option.map_or(String::new(), |option| format!(" (with `{option}`)"));
        let _ = writeln!(
            table,
            "| `{}`{where_} | {} | {login} | {} | {} | {} |",
            row.name,
            row.what,
            figure(row.cpu_ns),
            figure(row.held),
            verdict(row)
        );
    }
    table
}

fn measured(machine: &Machine) -> String {
    format!("Measured {}: {machine}.\n", machine::date())
}

fn figure(value: f64) -> String {
    match value {
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn verdict(row: &Row) -> String {
    if row.is_cheap() {
        return "ok".to_owned();
    }
    let mut of_one = Vec::new();
    if row.cpu_ns > CPU_NS_MAX {
        of_one.push(format!("{} µs", figure(row.item_cpu_us)));
    }
    if row.held > HELD_MAX {
        of_one.push(format!("{} KiB", figure(row.item_held / 1024.0)));
    }
    let bound = if row.bound.is_empty() { "**nothing**" } else { row.bound };
    format!("{bound}; one takes {}", of_one.join(" and "))
}

/// The table of what stays.
pub(super) fn after(rows: &[After], machine: &Machine) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "{}\n| attack | allocator | before, MiB | peak | 10 s after | 30 s after | and honest clients |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
        measured(machine)
    );
    for row in rows {
        let mib = |bytes: f64| format!("{:.0}", bytes / 1024.0 / 1024.0);
        let figures = [row.before, row.peak, row.soon, row.later, row.honest].map(mib).join(" | ");
        let _ = writeln!(table, "| {} | {} | {figures} |", row.attack, row.allocator);
    }
    table
}

/// Puts each text between its marks.
pub(super) fn write(path: &Path, parts: &[(&str, &str)]) -> Result<()> {
    let mut page = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    for (name, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
        page = replaced(&page, name, text)
            .ok_or_else(|| format!("{} has no marks of {name}", path.display()))?;
    }
    Ok(fs::write(path, page)?)
}

fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = marks(name);
    let (before, rest) = page.split_once(&begin)?;
    let (_, behind) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{behind}", text.trim_end()))
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amplification::attacks;

    const PAGE: &str = include_str!("../../../docs/security.md");

    /// The first cells of the rows between the marks, with what else says what an attack is.
    fn rows() -> Vec<(String, String, String)> {
        let (begin, end) = marks(TABLE);
        let (_, rest) = PAGE.split_once(&begin).unwrap();
        let (table, _) = rest.split_once(&end).unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| {
            let cells: Vec<_> = line.split(" | ").collect();
            let name = cells[0].split('`').nth(1).unwrap().to_owned();
            (name, cells[1].to_owned(), cells[2].to_owned())
        })
        .collect()
    }

    #[test]
    fn the_page_has_each_attack_as_it_is_and_no_other() {
        let wanted: Vec<_> = attacks::all()
            .iter()
            .map(|attack| {
                let login = if attack.login { "yes" } else { "no" };
                (attack.name.to_owned(), attack.what.to_owned(), login.to_owned())
            })
            .collect();
        assert_eq!(rows(), wanted, "make amplification writes the table");
    }

    #[test]
    fn each_attack_has_a_name_of_its_own() {
        let mut names: Vec<_> = attacks::all().iter().map(|attack| attack.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_stands_between_marks_is_replaced_and_nothing_else() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb\n";
        assert_eq!(replaced(page, "x", "new\n").as_deref(), Some(new));
        assert_eq!(replaced(page, "y", "new"), None);
    }
}
