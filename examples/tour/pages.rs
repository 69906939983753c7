//! The pages of the site: one for each way in which a fetch can go well or badly.

use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, StreamExt};
use hyper::{Method, StatusCode};
use tokio::time::sleep;

/// Where `/` leads. The last two lead nowhere: nobody listens on port 1, and there is no port 99999.
const INDEX: [&str; 11] = [
    "/fast/1",
    "/fast/2",
    "/slow",
    "/failing",
    "/picture",
    "/endless/drip",
    "/endless/silence",
    "/endless/flood",
    "/calendar/1",
    "http://127.0.0.1:1/",
    "http://127.0.0.1:99999/",
];

/// An answer before it is put into HTTP.
pub(crate) struct Page {
    /// How long the site thinks before it answers.
    pub(crate) delay: Duration,
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Body,
}

/// The four kinds of bodies: one that ends, and three that never do.
pub(crate) enum Body {
    Whole(String),
    /// A little now and then, for ever: each chunk is on time, the page never is.
    Drip,
    /// A beginning, then nothing, and the connection stays open.
    Silence,
    /// As fast as the reader can take it, for ever.
    Flood,
}

impl Page {
    pub(crate) fn at(method: &Method, path: &str) -> Self {
        match (method, path) {
            (&Method::POST, "/goodbye") => Self::text("Goodbye, and thank you for closing the door.\n"),
            (&Method::GET, "/") => Self::linking_to(INDEX),
            (_, "/fast/1") => Self::linking_to(["/", "/fast/2", "/fast/3"]),
            (_, "/fast/2") => Self::linking_to(["/", "/fast/1", "../slow"]),
            (_, "/fast/3") => Self::linking_to(["1", "2", "#top"]),
            (_, "/slow") => Self { delay: Duration::from_secs(10), ..Self::text("Good things take time.\n") },
            (_, "/failing") => Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::text("Oops.\n") },
            (_, "/picture") => Self { content_type: "image/png", ..Self::text("\u{89}PNG\r\n") },
            (_, "/endless/drip") => Self { body: Body::Drip, ..Self::text("") },
            (_, "/endless/silence") => Self { body: Body::Silence, ..Self::text("") },
            (_, "/endless/flood") => Self { body: Body::Flood, ..Self::text("") },
            (_, path) => match path.strip_prefix("/calendar/").map(str::parse::<u64>) {
                Some(Ok(day)) => Self::calendar(day),
                _ => Self { status: StatusCode::NOT_FOUND, ..Self::text("There is no such page.\n") },
            },
        }
    }

    /// The trap that every crawler meets: each page is fine, and links to one more.
    fn calendar(day: u64) -> Self {
        let tomorrow = format!("/calendar/{}", day.wrapping_add(1));
        Self { delay: Duration::from_millis(300), ..Self::linking_to([tomorrow.as_str()]) }
    }

    fn linking_to<'a>(links: impl IntoIterator<Item = &'a str>) -> Self {
        let items = links.into_iter().map(|link| format!("<li><a href=\"{link}\">{link}</a></li>\n"));
        let body = Body::Whole(format!("<!doctype html>\n<ul>\n{}</ul>\n", items.collect::<String>()));
        Self { content_type: "text/html; charset=utf-8", body, ..Self::text("") }
    }

    fn text(text: &str) -> Self {
        Self {
            delay: Duration::ZERO,
            status: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            body: Body::Whole(text.to_owned()),
        }
    }
}

impl Body {
    /// The chunks as they go over the wire.
    pub(crate) fn chunks(self) -> BoxStream<'static, String> {
        match self {
            Self::Whole(text) => stream::once(ready(text)).boxed(),
            Self::Drip => stream::unfold((), |()| async {
                sleep(Duration::from_millis(50)).await;
                Some(("and then, ".to_owned(), ()))
            })
            .boxed(),
            Self::Silence => {
                stream::once(ready("Once upon a time ".to_owned())).chain(stream::pending()).boxed()
            }
            Self::Flood => stream::repeat("more ".repeat(1000)).boxed(),
        }
    }
}
