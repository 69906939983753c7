//! What the tour prints: one line per page, and for what was cut the whole chain of causes.

use std::env;
use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use hyper::StatusCode;
use scope_runtime::Cancelled;
use tokio::time::Instant;
use url::{ParseError, Url};

use super::fetch::{FetchError, Page};
use super::limits::Limits;

/// How a visit to a page ended.
#[derive(Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Fetched(&'a Page),
    Cut(&'a Cancelled),
    Failed(&'a FetchError),
    Malformed(&'a ParseError),
}

/// The word for an outcome, and its colour if somebody is looking.
struct Mark {
    word: &'static str,
    colour: &'static str,
}

const FETCHED: Mark = Mark { word: "fetched", colour: "\x1b[32m" };
const CUT: Mark = Mark { word: "cut", colour: "\x1b[33m" };
const ERROR: Mark = Mark { word: "error", colour: "\x1b[31m" };

/// Prints while the crawl goes on, and keeps the sums.
pub(crate) struct Report {
    begun: Instant,
    origin: Option<String>,
    fetched: usize,
    cut: usize,
    errors: usize,
}

impl<'a> From<&'a FetchError> for Outcome<'a> {
    fn from(error: &'a FetchError) -> Self {
        match error {
            FetchError::Cut(cancelled) => Self::Cut(cancelled),
            error => Self::Failed(error),
        }
    }
}

impl Report {
    /// Begins now. The pages of `home` are told by their paths, others by their whole address.
    pub(crate) fn begin(seeds: &[String], home: Option<&Url>, limits: &Limits) -> Self {
        println!("crawling {}\nat most  {limits}\n", seeds.join(" "));
        let origin = home.map(|url| url.origin().ascii_serialization());
        Self { begun: Instant::now(), origin, fetched: 0, cut: 0, errors: 0 }
    }

    pub(crate) fn page(&mut self, url: &str, took: Duration, outcome: Outcome<'_>) {
        let page = self.origin.as_deref().and_then(|origin| url.strip_prefix(origin)).unwrap_or(url);
        let took = took.as_millis();
        match outcome {
            Outcome::Fetched(Page { bytes, links }) => {
                self.fetched += 1;
                self.line(FETCHED, page, &format!("{bytes} bytes in {took} ms, links: {}", links.len()));
            }
            Outcome::Cut(cancelled) => {
                self.cut += 1;
                self.line(CUT, page, &format!("after {took} ms"));
                why(cancelled);
            }
            Outcome::Failed(error) => self.error(page, error),
            Outcome::Malformed(error) => self.error(page, error),
        }
    }

    fn error(&mut self, page: &str, error: &(dyn Error + 'static)) {
        self.errors += 1;
        self.line(ERROR, page, &in_one_line(error));
    }

    fn line(&self, Mark { word, colour }: Mark, page: &str, detail: &str) {
        let at = self.begun.elapsed().as_millis();
        let (on, off) = if stdout().is_terminal() { (colour, "\x1b[0m") } else { ("", "") };
        let width = if self.origin.is_some() { 23 } else { 40 };
        println!("{at:>6} ms  {on}{word:<7}{off}  {page:<width$}  {detail}");
    }

    /// Says how the crawl ended.
    pub(crate) fn crawl(&self, crawled: &Result<(), Cancelled>, left_out: usize) {
        let Self { begun, fetched, cut, errors, .. } = self;
        let seconds = begun.elapsed().as_secs_f32();
        match crawled {
            Ok(()) => println!("\nthe crawl was complete after {seconds:.2} s"),
            Err(cancelled) => {
                println!("\nthe crawl was cut after {seconds:.2} s");
                why(cancelled);
            }
        }
        println!("  pages    {fetched} fetched, {cut} cut, {errors} errors");
        if left_out > 0 {
            println!("  links    {left_out} left out for want of room");
        }
    }

    pub(crate) fn index(&self, path: &Path, written: &Result<usize, Cancelled>) {
        let path = env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
        match written {
            Ok(entries) => println!(
                "  index    {entries} of {} pages in {}, written behind a shield",
                self.fetched,
                path.display()
            ),
            Err(cancelled) => println!("  index    not written: {cancelled}"),
        }
    }

    pub(crate) fn goodbye(&self, answer: Option<Result<StatusCode, FetchError>>) {
        match answer {
            Some(Ok(status)) => println!("  goodbye  said in a deferred cleanup, answered {status}"),
            Some(Err(error)) => println!("  goodbye  not heard: {}", in_one_line(&error)),
            None => println!("  goodbye  not said in the time that a cleanup has"),
        }
    }
}

/// Prints who was cut, and below it the causes down to the root.
fn why(cancelled: &Cancelled) {
    println!("{:>20}{cancelled}", "");
    for (depth, cause) in chain(cancelled).skip(1).enumerate() {
        println!("{:>20}{:indent$}because: {cause}", "", "", indent = 2 * depth);
    }
}

/// An error with all that it came from.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}
