//! Fetching one page over one connection, in a scope of its own.

use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Connection, handshake};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use scope_runtime::{Cancelled, cancel_scope, scope};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::{Position, Url};

use super::limits::Limits;
use super::links::hrefs;

/// A page that was read to its end.
pub(crate) struct Page {
    pub(crate) bytes: usize,
    pub(crate) links: Vec<String>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("`{0}` is not spoken here, only `http` is")]
    Scheme(String),
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the site answered {0}")]
    Status(StatusCode),
    #[error("not text: {0}")]
    NotText(String),
    #[error("no end in sight after {0} bytes")]
    TooLong(usize),
    /// With `From<Cancelled>`, a scope that is cut can say so in a function that returns this error.
    #[error(transparent)]
    Cut(#[from] Cancelled),
}

/// Fetches a page, in the time that a page has.
///
/// On every way out (the page, an error, the deadline) the connection is closed when the call returns.
#[cancel_scope(timeout = limits.page, name = url.path().to_owned())]
pub(crate) async fn fetch(url: Url, limits: Limits) -> Result<Page, FetchError> {
    let stream = connect(&url).await?;
    fetch_over(stream, &url, limits).await
}

async fn fetch_over(stream: impl Stream, url: &Url, limits: Limits) -> Result<Page, FetchError> {
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
    beside(connection, async {
        let response = requests.send_request(request(Method::GET, url)).await?;
        let status = response.status();
        if status.is_redirection() {
            let links = header(response.headers(), LOCATION).map(str::to_owned).into_iter().collect();
            return Ok(Page { bytes: 0, links });
        }
        if !status.is_success() {
            return Err(FetchError::Status(status));
        }
        let content_type = header(response.headers(), CONTENT_TYPE).unwrap_or("text/html");
        if !content_type.to_ascii_lowercase().starts_with("text/") {
            return Err(FetchError::NotText(content_type.to_owned()));
        }
        let body = read(response.into_body(), limits).await?;
        let links = hrefs(&String::from_utf8_lossy(&body)).map(str::to_owned).collect();
        Ok(Page { bytes: body.len(), links })
    })
    .await
}

/// Reads a body to its end, if it has one, and each chunk of it within the silence that is allowed.
async fn read(mut body: Incoming, limits: Limits) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    loop {
        // The scope is a block, so all four ways out of the block mean what they mean without it.
        scope!(timeout = limits.silence, name = "chunk", {
            let Some(frame) = body.frame().await else { break };
            let Ok(chunk) = frame?.into_data() else { continue };
            if bytes.len() + chunk.len() > limits.bytes {
                return Err(FetchError::TooLong(limits.bytes));
            }
            bytes.extend_from_slice(&chunk);
        })?;
    }
    Ok(bytes)
}

/// Tells the site that we are leaving: a request like any other, of whose answer the status is enough.
pub(crate) async fn say_goodbye(mut url: Url) -> Result<StatusCode, FetchError> {
    url.set_path("/goodbye");
    let stream = connect(&url).await?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
    let response = beside(connection, requests.send_request(request(Method::POST, &url))).await?;
    Ok(response.status())
}

/// Polls the connection beside the exchange that needs it, as hyper wants it.
///
/// In one task, so that a cancel takes both at once. Were the connection a child of its own, it could be gone a moment
/// before the exchange, which would then call a page broken that was cut.
async fn beside<T>(connection: Http<impl Stream>, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    tokio::select! {
        value = exchange.as_mut() => return value,
        _ = connection => {} // what there is to know of its end, the exchange is told too
    }
    exchange.await
}

type Http<S> = Connection<TokioIo<S>, Empty<Bytes>>;

/// A connection, over a socket or, in tests, in memory.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

async fn connect(url: &Url) -> Result<TcpStream, FetchError> {
    let (Some(host), Some(port), "http") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
        return Err(FetchError::Scheme(url.scheme().to_owned()));
    };
    let host = host.trim_matches(['[', ']']); // an IPv6 address
    TcpStream::connect((host, port)).await.map_err(FetchError::Connect)
}

fn request(method: Method, url: &Url) -> Request<Empty<Bytes>> {
    Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, "scope-tour")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .expect("what `Url` holds is valid in a request")
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use scope_runtime::{spawn, testing};
    use tokio::io::duplex;

    use super::*;
    use crate::tour::counts::Counts;
    use crate::tour::site::serve_connection;

    /// Fetches a page of the tour's site over a connection in memory. Whenever a cancel comes: in the end no request is
    /// open there. The site is a child here: if a cancel takes it first, the page breaks off (rule D2: what the client
    /// makes of that is ready before its own cancel).
    #[cancel_scope]
    async fn fetch_in_memory(path: &str) -> Result<Page, FetchError> {
        let url = Url::parse("http://site/").expect("it is a URL").join(path).expect("it is a path");
        let (ours, theirs) = duplex(16 << 10);
        let counts: Arc<Counts> = Arc::default();
        testing::finally({
            let counts = counts.clone();
            move || assert_eq!(counts.requests.open(), 0)
        });
        spawn!(async move {
            // As the site has it: a client may hang up.
            let _ = serve_connection(theirs, counts).await;
        });
        fetch_over(ours, &url, Limits::TOUR).await
    }

    #[scope_runtime::test(every_await)]
    async fn a_page_can_be_cut_at_every_await() -> Result<(), FetchError> {
        assert_eq!(fetch_in_memory("/fast/1").await?.links, ["/", "/fast/2", "/fast/3"]);
        Ok(())
    }

    #[scope_runtime::test(every_await)]
    async fn a_page_without_an_end_can_be_cut_at_every_await() {
        let flood = fetch_in_memory("/endless/flood").await;
        assert!(matches!(flood, Err(FetchError::TooLong(_) | FetchError::Http(_))), "{:?}", flood.err());
    }

    #[scope_runtime::test(every_await)]
    async fn a_page_that_falls_silent_can_be_cut_at_every_await() {
        let silent = fetch_in_memory("/endless/silence").await;
        match silent {
            Err(FetchError::Cut(cancelled)) => assert!(cancelled.is_timeout()),
            silent => assert!(matches!(silent, Err(FetchError::Http(_))), "{:?}", silent.err()),
        }
    }
}
