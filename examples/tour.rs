//! The tour: a crawler over real sockets, and what becomes of it when pages are slow, broken, or never end.
//!
//! `cargo run` serves a small site of its own and crawls it; `cargo run -- http://…` crawls another. Start reading at
//! [`run`] below, then [`tour::crawl`] (children, deadline, cleanup), [`tour::fetch`] (control flow through a scope),
//! [`tour::index`] (a shield) and [`tour::site`] (a graceful end).

mod tour {
    pub(crate) mod counts;
    pub(crate) mod crawl;
    pub(crate) mod fetch;
    pub(crate) mod index;
    pub(crate) mod leftovers;
    pub(crate) mod limits;
    pub(crate) mod links;
    pub(crate) mod pages;
    pub(crate) mod report;
    pub(crate) mod site;
}

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use scope_runtime::{ScopeHandle, cancel_scope, spawn};
use url::Url;

use tour::counts::Counts;
use tour::crawl::{Plan, crawl};
use tour::leftovers::nothing_left_over;
use tour::limits::Limits;
use tour::report::in_one_line;
use tour::site::Site;

const USAGE: &str = "\
usage: cargo run                  crawls a small site of its own
       cargo run -- http://… …    crawls these pages, and what they link to on the same hosts";

#[tokio::main]
async fn main() -> ExitCode {
    let seeds: Vec<String> = env::args().skip(1).collect();
    if seeds.iter().any(|seed| matches!(seed.as_str(), "-h" | "--help")) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if !seeds.is_empty() && seeds.iter().all(|seed| Url::parse(seed).is_err()) {
        for seed in &seeds {
            eprintln!("`{seed}` is no URL: {}", Url::parse(seed).unwrap_err());
        }
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }

    let counts = Arc::default();
    let toured = run(seeds, index_file(), &counts).await;
    if let Err(error) = &toured {
        eprintln!("\nthe tour ended early: {}", in_one_line(error));
    }
    let clean = nothing_left_over(&counts).await;
    if toured.is_ok() && clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes the tour: over the seeds, or over a site that is served for as long as the tour takes.
///
/// Whatever is started in here ends in here: `main` counts what is left.
#[cancel_scope(scope = tour, name = "tour")]
async fn run(seeds: Vec<String>, index: PathBuf, counts: &Arc<Counts>) -> io::Result<()> {
    spawn!(background, name = "ctrl-c", stop_on_ctrl_c(tour.handle()));

    if !seeds.is_empty() {
        let plan = Plan { seeds, limits: Limits::ELSEWHERE, index, home: None };
        return crawl(plan).await;
    }

    let site = Site::bind(counts.clone()).await?;
    let home = site.root();
    // In the background: when the crawl has ended, the site is told to close, and awaited.
    spawn!(background, name = "site", site.serve());
    let plan = Plan { seeds: vec![home.to_string()], limits: Limits::TOUR, index, home: Some(home) };
    crawl(plan).await
}

async fn stop_on_ctrl_c(tour: ScopeHandle) {
    if tokio::signal::ctrl_c().await.is_ok() {
        tour.cancel_with("Ctrl-C");
    }
}

/// Beside the program, which is in `target`: there it is in nobody's way, and `cargo clean` finds it.
fn index_file() -> PathBuf {
    env::current_exe().unwrap_or_else(|_| env::temp_dir().join("tour")).with_file_name("tour-index.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn leaves_nothing_behind(name: &str) {
        let index = env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let counts = Arc::default();
        run(Vec::new(), index.clone(), &counts).await.unwrap();
        assert!(nothing_left_over(&counts).await);
        assert_eq!(counts.goodbyes.ever(), 1);
        std::fs::remove_file(index).unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn tour_on_one_thread() {
        leaves_nothing_behind("tour-on-one-thread").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tour_on_many_threads() {
        leaves_nothing_behind("tour-on-many-threads").await;
    }
}
