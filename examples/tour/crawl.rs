//! The crawl: all pages in parallel, under one deadline, with an index that is written and a goodbye that is said
//! whatever happens.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use scope_runtime::{Cancelled, defer, scope, spawn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use url::Url;

use super::fetch::{FetchError, Page, fetch, say_goodbye};
use super::index::{Entry, write_index};
use super::limits::Limits;
use super::links::{Frontier, Link};
use super::report::{Outcome, Report};

/// What to crawl, and how.
pub(crate) struct Plan {
    pub(crate) seeds: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) index: PathBuf,
    /// Our own site, if it is that: its pages are told by their paths, and it likes to be told goodbye.
    pub(crate) home: Option<Url>,
}

/// What a visit brought. Were it the bare `Result`, the task would be a fallible one, and a page that cannot be
/// fetched would fail the crawl.
struct Visit(Result<Page, FetchError>);

/// Crawls, and reports each page.
///
/// # Errors
///
/// Only if the index cannot be written. What goes wrong with a page is a line in the report.
pub(crate) async fn crawl(plan: Plan) -> io::Result<()> {
    let Plan { seeds, limits, index, home } = plan;
    let mut report = Report::begin(&seeds, home.as_ref(), &limits);
    let mut frontier = Frontier::new(seeds, limits.pages);
    // These outlive the scope, to be asked what became of the tasks that it cut.
    let mut visits = FuturesUnordered::new();
    let mut indexed = None;
    let mut answered = None;

    let crawled = scope!(timeout = limits.crawl, name = "crawl", cleanup_timeout = 1s, {
        // Made in here, so that the index loses its last sender with the body: it waits for them all.
        let (entries, inbox) = mpsc::unbounded_channel();
        indexed = Some(spawn!(name = "index", write_index(index.clone(), inbox)));

        // Runs when every page has ended, also if it was the deadline that ended them.
        if let Some(home) = home {
            let (answer, waiting) = oneshot::channel();
            answered = Some(waiting);
            defer(async move { drop(answer.send(say_goodbye(home).await)) });
        }

        loop {
            while let Some(Link { text, url }) = frontier.next() {
                let url = match url {
                    Ok(url) => url,
                    Err(error) => {
                        report.page(&text, Duration::ZERO, Outcome::Malformed(&error));
                        continue;
                    }
                };
                let visit = spawn!(name = url.path().to_owned(), visit(url.clone(), limits, entries.clone()));
                let begun = Instant::now();
                visits.push(async move { (url, visit.await, begun.elapsed()) });
            }
            let Some((url, visit, took)) = visits.next().await else { break };
            frontier.follow(&url, note(&mut report, &url, visit, took));
        }
    });

    // Everything has ended by now, so the rest is told without waiting: what the deadline cut, and why.
    while let Some((url, visit, took)) = visits.next().await {
        note(&mut report, &url, visit, took);
    }
    report.crawl(&crawled, frontier.left_out);
    if let Some(indexed) = indexed {
        report.index(&index, &indexed.await);
    }
    if let Some(answered) = answered {
        report.goodbye(answered.await.ok());
    }
    Ok(())
}

/// Reports a visit and gives back the links that it found.
fn note(report: &mut Report, url: &Url, visit: Result<Visit, Cancelled>, took: Duration) -> Vec<String> {
    let outcome = match &visit {
        Ok(Visit(Ok(page))) => Outcome::Fetched(page),
        Ok(Visit(Err(error))) => error.into(),
        Err(cancelled) => Outcome::Cut(cancelled),
    };
    report.page(url.as_str(), took, outcome);
    match visit {
        Ok(Visit(Ok(page))) => page.links,
        _ => Vec::new(),
    }
}

async fn visit(url: Url, limits: Limits, index: mpsc::UnboundedSender<Entry>) -> Visit {
    let fetched = fetch(url.clone(), limits).await;
    if let Ok(Page { bytes, .. }) = fetched {
        // Without an await in between: what was fetched is in the index.
        let _ = index.send(Entry { url: url.into(), bytes });
    }
    Visit(fetched)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::process;

    use scope_runtime::testing;

    use super::*;

    /// Over links that need no socket, since sockets know nothing of paused time: the frontier, the visits, the index, the
    /// goodbye, and how all of these end.
    #[scope_runtime::test(every_await)]
    async fn a_crawl_can_be_cancelled_at_every_await() -> io::Result<()> {
        let index = env::temp_dir().join(format!("tour-of-nothing-{}", process::id()));
        testing::finally({
            let index = index.clone();
            move || {
                // Whole or not there at all; and what stands beside it has another name.
                assert!(fs::read_to_string(&index).map_or(true, |text| text == "       0 pages in all\n"));
                assert!(!index.with_extension(format!("{}.partial", process::id())).exists());
                let _ = fs::remove_file(index);
            }
        });
        let home = Url::parse("ftp://files/").expect("it is a URL");
        let seeds = ["ftp://files/a", "ftp://files/b", "http://[oops"].map(str::to_owned).to_vec();
        crawl(Plan { seeds, limits: Limits::TOUR, index, home: Some(home) }).await
    }
}
