//! The site that the tour crawls when it is given no other: a small HTTP server on a free loopback port.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use scope_runtime::{cancel_scope, current, defer, scope, spawn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use url::Url;

use super::counts::{Counts, Open};
use super::pages::Page;

/// How long an answer may go on after the site was told to close.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Chunk = Result<Frame<Bytes>, Infallible>;

/// A site with an address that nobody serves yet.
pub(crate) struct Site {
    listener: TcpListener,
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Site {
    pub(crate) async fn bind(counts: Arc<Counts>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, counts })
    }

    pub(crate) fn root(&self) -> Url {
        Url::parse(&format!("http://{}/", self.address)).expect("a socket address is a valid authority")
    }

    /// Serves until it is cancelled. Then the listener closes, and the connections are awaited: each is a child of
    /// this function's scope, so none can outlive the call.
    #[cancel_scope(name = "site")]
    pub(crate) async fn serve(self) -> io::Result<()> {
        defer(async { println!("  site     closed, with its last connection") });
        loop {
            let (stream, _) = self.listener.accept().await?;
            let counts = self.counts.clone();
            spawn!(name = "connection", async move {
                let _open = counts.connections.enter();
                // The only error here is a client that hangs up in the middle: its right, and no failure of ours.
                let _ = serve_connection(stream, counts).await;
            });
        }
    }
}

/// Serves one connection until the client hangs up or the site closes, and finishes the answer that it is giving.
pub(crate) async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    counts: Arc<Counts>,
) -> hyper::Result<()> {
    let site = current();
    let service = service_fn(move |request| answer(request, counts.clone()));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));

    // The shield keeps the site's cancel from dropping an answer half-way; the deadline keeps the answer from
    // keeping the site.
    let finished = scope!(shield, name = "answers", |answers| {
        tokio::select! {
            ended = connection.as_mut() => ended?,
            () = site.cancelled() => {
                answers.set_deadline(Instant::now() + LAST_WORDS);
                connection.as_mut().graceful_shutdown();
                connection.await?;
            }
        }
    });
    if let Err(cut) = finished {
        eprintln!("the site hung up on a client: {cut}");
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    counts: Arc<Counts>,
) -> Result<Response<StreamBody<BoxStream<'static, Chunk>>>, Infallible> {
    let open = counts.requests.enter();
    if request.method() == Method::POST && request.uri().path() == "/goodbye" {
        counts.goodbyes.enter();
    }
    let page = Page::at(request.method(), request.uri().path());
    sleep(page.delay).await;

    let mut response =
        Response::new(StreamBody::new(page.body.chunks().map(move |text| frame(text, &open)).boxed()));
    *response.status_mut() = page.status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, page.content_type.parse().expect("the pages' types are valid headers"));
    Ok(response)
}

/// Takes `_open` only to tie it to the stream: the request is open as long as its body is.
fn frame(text: String, _open: &Open) -> Chunk {
    Ok(Frame::data(Bytes::from(text)))
}
