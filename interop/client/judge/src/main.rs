//! Judges `roomful-client` by the servers of `interop/client`, whose README says what each can do.
//!
//! Usage: `judge [--json] [--server WORD] [--feature WORD]`, from the root of the repository.
//!
//! Every feature is asked of every server on each way: polling, WebSocket, and the upgrade from one to the
//! other. What comes out is a table; a server that lacks something is said to, and never counts as passed.

mod bench;
mod child;
mod features;
mod outcome;
mod sites;
mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::{Bench, Servers, Way};
use crate::features::{FEATURES, Feature};
use crate::outcome::{Failure, Outcome, Verdict};
use crate::sites::{SITES, Site};
use crate::table::Cell;

/// Nothing that is asked takes longer, also while the machine is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Sites that are asked at once.
const SITES_AT_ONCE: usize = 2;
/// Features that are asked of one site at once.
const FEATURES_AT_ONCE: usize = 6;

#[tokio::main]
async fn main() -> ExitCode {
    match judge().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("judge: {error}");
            ExitCode::from(2)
        }
    }
}

async fn judge() -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--server" => options.server = args.next(),
            "--feature" => options.feature = args.next(),
            // Itself, with other variables in its environment.
            features::THROUGH_ENVIRONMENT => {
                let url = args.next().unwrap_or_default();
                return features::through_environment(&url).await.map(|()| ExitCode::SUCCESS);
            }
            other => return Err(format!("{other} is unknown").into()),
        }
    }
    let began = Instant::now();
    let sites: Vec<_> = SITES.iter().filter(|site| fits(&options.server, site.title)).collect();
    let at_once = Arc::new(Semaphore::new(SITES_AT_ONCE));
    let mut asked = JoinSet::new();
    for site in &sites {
        let (site, at_once, only) = (*site, Arc::clone(&at_once), options.feature.clone());
        asked.spawn(async move {
            let _permit = at_once.acquire_owned().await;
            Box::pin(ask(site, only)).await
        });
    }
    let mut cells = Vec::new();
    while let Some(some) = asked.join_next().await {
        cells.extend(some??);
    }
    table::print(&sites, &cells, options.json);
    let failed = cells.iter().filter(|cell| cell.verdict.is_failed()).count();
    let passed = cells.iter().filter(|cell| cell.verdict.is_ok()).count();
    if !options.json {
        println!("judged in {} s", began.elapsed().as_secs());
        println!("{passed} passed, {failed} failed");
    }
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Options {
    json: bool,
    server: Option<String>,
    feature: Option<String>,
}

fn fits(word: &Option<String>, name: &str) -> bool {
    word.as_ref().is_none_or(|word| name.contains(word.as_str()))
}

/// Asks one site for everything, on each way.
async fn ask(site: &'static Site, only: Option<String>) -> Result<Vec<Cell>, Failure> {
    let servers = Arc::new(Servers::start(site).await?);
    let at_once = Arc::new(Semaphore::new(FEATURES_AT_ONCE));
    let mut asked = JoinSet::new();
    for feature in FEATURES.iter().filter(|feature| fits(&only, feature.name)) {
        for way in Way::ALL {
            let bench = Bench::new(site, way, Arc::clone(&servers));
            let at_once = Arc::clone(&at_once);
            asked.spawn(async move {
                let _permit = at_once.acquire_owned().await;
                Cell {
                    site: site.title,
                    way,
                    feature: feature.name,
                    verdict: tried(feature, bench).await,
                }
            });
        }
    }
    let mut cells = Vec::new();
    while let Some(cell) = asked.join_next().await {
        cells.push(cell?);
    }
    if let Some(servers) = Arc::into_inner(servers) {
        Box::pin(servers.end()).await?;
    }
    Ok(cells)
}

/// What came of a feature; that it panicked, or did not end, is a failure too.
async fn tried(feature: &'static Feature, bench: Bench) -> Verdict {
    let asked = tokio::spawn(async move {
        let ask = feature.ask;
        tokio::time::timeout(PATIENCE, ask(bench)).await
    });
    match asked.await {
        Ok(Ok(Ok(Outcome::Passed))) => Verdict::Ok,
        Ok(Ok(Ok(Outcome::NotThere(why)))) => Verdict::NotThere(why),
        Ok(Ok(Ok(Outcome::OtherWay))) => Verdict::OtherWay,
        Ok(Ok(Err(failure))) => Verdict::Failed(failure.to_string()),
        Ok(Err(_)) => Verdict::Failed(format!("no end after {} s", PATIENCE.as_secs())),
        Err(panic) => Verdict::Failed(panic.to_string()),
    }
}
