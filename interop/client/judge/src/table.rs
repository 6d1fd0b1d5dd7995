//! The table: features in rows, servers and ways in columns.

use serde_json::json;

use crate::bench::Way;
use crate::features::FEATURES;
use crate::outcome::Verdict;
use crate::sites::Site;

/// One cell of the table.
pub(crate) struct Cell {
    pub(crate) site: &'static str,
    pub(crate) way: Way,
    pub(crate) feature: &'static str,
    pub(crate) verdict: Verdict,
}

/// Prints all cells, as a table and the reasons below it, or one JSON value a line.
pub(crate) fn print(sites: &[&Site], cells: &[Cell], json: bool) {
    let in_order = || {
        FEATURES.iter().flat_map(|feature| {
            sites.iter().flat_map(move |site| {
                Way::ALL.into_iter().filter_map(move |way| {
                    cells.iter().find(|cell| {
                        (cell.feature, cell.site, cell.way) == (feature.name, site.title, way)
                    })
                })
            })
        })
    };
    if json {
        for cell in in_order() {
            let (verdict, why) = match &cell.verdict {
                Verdict::Ok => ("ok", None),
                Verdict::NotThere(word) => ("not there", Some(*word)),
                Verdict::OtherWay => ("other way", None),
                Verdict::Failed(why) => ("failed", Some(why.as_str())),
            };
            let way = cell.way.name();
            let line = json!({ "feature": cell.feature, "server": cell.site, "way": way, "verdict": verdict, "why": why });
            println!("{line}");
        }
        return;
    }
    let name = FEATURES.iter().map(|feature| feature.name.len()).max().unwrap_or_default();
    print!("{:name$}", "");
    sites.iter().for_each(|site| print!(" | {:^14}", site.title));
    print!("\n{:name$}", "");
    sites.iter().for_each(|_| print!(" | {:4} {:4} {:4}", "poll", "ws", "up"));
    println!();
    for feature in &FEATURES {
        let mut of_feature = in_order().filter(|cell| cell.feature == feature.name).peekable();
        if of_feature.peek().is_none() {
            continue;
        }
        print!("{:name$}", feature.name);
        for (i, cell) in of_feature.enumerate() {
            let word = match &cell.verdict {
                Verdict::Ok => "ok",
                Verdict::NotThere(_) => "none",
                Verdict::OtherWay => "-",
                Verdict::Failed(_) => "FAIL",
            };
            print!("{}{word:4}", if i % Way::ALL.len() == 0 { " | " } else { " " });
        }
        println!();
    }
    println!("\nnone: not there, the server cannot do it. -: a matter of another way.");
    let mut words: Vec<_> = in_order()
        .filter_map(|cell| match cell.verdict {
            Verdict::NotThere(word) => Some(format!("{} · {}: {word}", cell.feature, cell.site)),
            _ => None,
        })
        .collect();
    words.dedup();
    words.iter().for_each(|word| println!("not there: {word}"));
    for cell in in_order() {
        if let Verdict::Failed(why) = &cell.verdict {
            println!("FAILED: {} · {} · {}: {why}", cell.feature, cell.site, cell.way.name());
        }
    }
}
