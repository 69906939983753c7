//! The links of a page, and which of them are followed.

use std::collections::{HashSet, VecDeque};

use url::{ParseError, Url};

/// Finds the targets of `href="…"` in a page. No HTML parser, but honest work for its size.
pub(crate) fn hrefs(html: &str) -> impl Iterator<Item = &str> {
    html.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        rest[1..].split_once(quote).map(|(target, _)| target)
    })
}

/// The pages that are still to be visited: each once, on the hosts of the seeds, and not without end.
pub(crate) struct Frontier {
    queue: VecDeque<Link>,
    seen: HashSet<String>,
    hosts: HashSet<String>,
    room: usize,
    /// Links that were left alone because the room was used up.
    pub(crate) left_out: usize,
}

/// A link as it is written somewhere, and what it means there.
pub(crate) struct Link {
    pub(crate) text: String,
    pub(crate) url: Result<Url, ParseError>,
}

impl Frontier {
    pub(crate) fn new(seeds: impl IntoIterator<Item = String>, room: usize) -> Self {
        let (queue, seen, hosts) = Default::default();
        let mut frontier = Self { queue, seen, hosts, room, left_out: 0 };
        for seed in seeds {
            let url = Url::parse(&seed);
            if let Ok(url) = &url {
                frontier.hosts.extend(url.host_str().map(str::to_owned));
            }
            frontier.add(Link { text: seed, url });
        }
        frontier
    }

    /// Adds the links that were found on the page at `base`.
    pub(crate) fn follow(&mut self, base: &Url, targets: Vec<String>) {
        for text in targets {
            let url = base.join(&text);
            let elsewhere = |url: &Url| {
                !matches!(url.scheme(), "http" | "https")
                    || url.host_str().is_none_or(|host| !self.hosts.contains(host))
            };
            if !url.as_ref().is_ok_and(elsewhere) {
                self.add(Link { text, url });
            }
        }
    }

    fn add(&mut self, mut link: Link) {
        let key = match &mut link.url {
            Ok(url) => {
                url.set_fragment(None);
                url.to_string()
            }
            Err(_) => link.text.clone(),
        };
        if !self.seen.insert(key) {
            return;
        }
        if self.room == 0 {
            self.left_out += 1;
        } else {
            self.room -= 1;
            self.queue.push_back(link);
        }
    }

    pub(crate) fn next(&mut self) -> Option<Link> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(frontier: &mut Frontier) -> Vec<String> {
        std::iter::from_fn(|| frontier.next()).map(|link| link.url.map_or(link.text, String::from)).collect()
    }

    #[test]
    fn hrefs_are_found_in_both_kinds_of_quotes() {
        let html = r#"<a href="/a">a</a> <a class=x href='b?c=d'>b</a> <a href=bare> <a href="open"#;
        assert_eq!(hrefs(html).collect::<Vec<_>>(), ["/a", "b?c=d"]);
    }

    #[test]
    fn each_page_is_visited_once_and_other_hosts_never() {
        let mut frontier = Frontier::new(["http://a/x/y".to_owned()], 10);
        let base = Url::parse("http://a/x/y").unwrap();
        let found =
            ["../z", "/z#top", "http://b/", "mailto:me@a", "http://a:1/", "http://a:no/", "http://a:no/"];
        frontier.follow(&base, found.map(str::to_owned).to_vec());
        assert_eq!(urls(&mut frontier), ["http://a/x/y", "http://a/z", "http://a:1/", "http://a:no/"]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut frontier = Frontier::new(["http://a/1", "http://a/2", "http://a/3"].map(str::to_owned), 2);
        assert_eq!(urls(&mut frontier).len(), 2);
        assert_eq!(frontier.left_out, 1);
    }
}
