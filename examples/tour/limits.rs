//! How much time and room a crawl has.

use std::fmt;
use std::time::Duration;

/// The limits of a crawl. Each of the three times becomes the timeout of a scope.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// For everything together.
    pub(crate) crawl: Duration,
    /// For one page, from the connection to the last byte.
    pub(crate) page: Duration,
    /// Between two chunks of a page.
    pub(crate) silence: Duration,
    /// How long a page may be.
    pub(crate) bytes: usize,
    /// How many pages are visited at most.
    pub(crate) pages: usize,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crawl, page, silence, bytes, pages } = self;
        write!(
            f,
            "{crawl:?} in all, {page:?} and {bytes} bytes per page, {silence:?} of silence, {pages} pages"
        )
    }
}

impl Limits {
    /// For the site of the tour, which is made to break them.
    pub(crate) const TOUR: Self = Self {
        crawl: Duration::from_secs(2),
        page: Duration::from_millis(800),
        silence: Duration::from_millis(300),
        bytes: 64 << 10,
        pages: 100,
    };

    /// For a site from the command line.
    pub(crate) const ELSEWHERE: Self = Self {
        crawl: Duration::from_secs(10),
        page: Duration::from_secs(3),
        silence: Duration::from_secs(1),
        bytes: 4 << 20,
        pages: 50,
    };
}
