//! U5 and T1 with a real HTTP server: a request whose client hangs up is handed over to the server, where it unwinds.
//!
//! hyper drops the future of a response when its client hangs up. What the request had begun would be torn in half there;
//! so that future gives itself away when it is dropped. Real sockets and real time, held together by channels: only the
//! order of events is asserted.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use scope_runtime::{ScopeHandle, defer, scope, shield, spawn};
use scope_tests::probe::outside;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

/// What happened, in the order in which it did.
#[derive(Clone)]
struct Said(mpsc::UnboundedSender<String>);

impl Said {
    fn new() -> (Self, Heard) {
        let (tx, rx) = mpsc::unbounded_channel();
        (Self(tx), Heard(rx))
    }

    fn say(&self, what: impl Display) {
        // A test that is over listens no more.
        let _ = self.0.send(what.to_string());
    }
}

struct Heard(mpsc::UnboundedReceiver<String>);

impl Heard {
    /// The next thing that happens is `what`.
    async fn expect(&mut self, what: &str) {
        // Only for a test that would hang otherwise.
        let next = tokio::time::timeout(Duration::from_secs(30), self.0.recv());
        assert_eq!(next.await.unwrap_or_else(|_| panic!("still no {what:?}")).as_deref(), Some(what));
    }
}

struct SayOnDrop(Said, &'static str);

impl Drop for SayOnDrop {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

// --- the server -------------------------------------------------------------------------------------------------------

/// A request that writes something which must not be torn in half.
async fn handle(said: Said, may_write: Arc<Semaphore>) -> String {
    let written = scope!(name = "request", {
        let _body = SayOnDrop(said.clone(), "request body gone");
        let closing = said.clone();
        defer(async move {
            tokio::task::yield_now().await;
            closing.say("request cleanup");
        });
        shield!({
            said.say("write begins");
            may_write.acquire().await.expect("it is never closed").forget();
            said.say("write ends");
        });
        // Here a cancel that came meanwhile is delivered.
        tokio::task::yield_now().await;
        said.say("request done");
        "written"
    });
    written.map_or_else(|cancelled| cancelled.to_string(), str::to_owned)
}

/// The future of a response, which its connection may drop at any time: then the request goes on in `home`.
struct Answer {
    request: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    text: oneshot::Receiver<String>,
    home: ScopeHandle,
}

impl Answer {
    fn new(request: impl Future<Output = String> + Send + 'static, home: ScopeHandle) -> Self {
        let (tx, text) = oneshot::channel();
        let request = Box::pin(async move {
            // Nobody may be there any more to take it.
            let _ = tx.send(request.await);
        });
        Self { request: Some(request), text, home }
    }
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Away while it is polled: one that panics is not to be finished.
        if let Some(mut request) = self.request.take()
            && request.as_mut().poll(cx).is_pending()
        {
            self.request = Some(request);
        }
        let text = Pin::new(&mut self.text).poll(cx);
        text.map(|text| Ok(Response::new(Full::from(text.expect("a request answers before it ends")))))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            // Under a scope that is cancelled already it unwinds: shields finish, cleanup runs.
            self.home.adopt(async move {
                let _ = scope!(name = "client", |client| {
                    client.cancel_with("the client hung up");
                    request.await;
                });
            });
        }
    }
}

/// Whose work a request becomes when its client has hung up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    Server,
    Connection,
}

struct Server {
    address: SocketAddr,
    handle: ScopeHandle,
    task: JoinHandle<()>,
    may_write: Arc<Semaphore>,
}

impl Server {
    async fn start(home: Home, said: &Said) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let may_write = Arc::new(Semaphore::new(0));
        let (tx, handle) = oneshot::channel();
        let task = outside(serve(listener, home, said.clone(), Arc::clone(&may_write), tx));
        Self { address, handle: handle.await.unwrap(), task, may_write }
    }
}

async fn serve(
    listener: TcpListener,
    home: Home,
    said: Said,
    may_write: Arc<Semaphore>,
    tx: oneshot::Sender<ScopeHandle>,
) {
    let stopped = scope!(name = "server", |server| {
        tx.send(server.handle()).expect("the test waits for it");
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (server, said, may_write) = (server.handle(), said.clone(), Arc::clone(&may_write));
            spawn!(name = "connection", async move {
                let connection = scope!(name = "connection", |connection| {
                    let home = if home == Home::Server { server } else { connection.handle() };
                    let handler = said.clone();
                    let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                        Answer::new(handle(handler.clone(), Arc::clone(&may_write)), home.clone())
                    });
                    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    said.say(if served.is_ok() { "connection served" } else { "client hung up" });
                });
                drop(connection);
                said.say("connection left");
            });
        }
    });
    let Err(stopped) = stopped;
    assert!(stopped.to_string().contains("shutdown"), "{stopped}");
    said.say("server left");
}

/// A client that has sent its request.
struct Client {
    response: JoinHandle<hyper::Result<Response<hyper::body::Incoming>>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn ask(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let request = Request::get("/write").header("host", "test").body(Empty::<Bytes>::new()).unwrap();
        let response = outside(async move { sender.send_request(request).await });
        Self { response, connection: outside(connection) }
    }

    async fn hang_up(self) {
        self.connection.abort();
        self.response.abort();
        let _ = self.connection.await; // the socket is closed by now
    }
}

// --- the tests --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn u5_a_request_whose_client_hangs_up_in_a_shielded_write_is_finished_by_the_server() {
    let (said, mut heard) = Said::new();
    let server = Server::start(Home::Server, &said).await;
    let client = Client::ask(server.address).await;
    heard.expect("write begins").await;

    client.hang_up().await;
    heard.expect("client hung up").await;
    heard.expect("connection left").await; // the request is not its work any more

    server.handle.cancel_with("shutdown");
    server.handle.delivered().await;
    assert!(!server.handle.is_closed(), "the server's body is gone, but a write is under way");
    said.say("server body gone");
    server.may_write.add_permits(1);

    for what in ["server body gone", "write ends", "request body gone", "request cleanup", "server left"] {
        heard.expect(what).await;
    }
    server.task.await.unwrap();
    assert!(server.handle.suppressed().is_empty());
}

#[tokio::test]
async fn u5_a_request_that_was_handed_over_does_not_wait_for_the_shutdown() {
    let (said, mut heard) = Said::new();
    let server = Server::start(Home::Server, &said).await;
    let client = Client::ask(server.address).await;
    heard.expect("write begins").await;
    client.hang_up().await;
    heard.expect("client hung up").await;
    heard.expect("connection left").await;
    server.may_write.add_permits(1);
    // It unwinds since its client is gone, not since the server stops.
    for what in ["write ends", "request body gone", "request cleanup"] {
        heard.expect(what).await;
    }
    server.handle.cancel_with("shutdown");
    heard.expect("server left").await;
}

#[tokio::test]
async fn u5_a_scope_of_the_connection_can_finish_the_request_as_well() {
    let (said, mut heard) = Said::new();
    let server = Server::start(Home::Connection, &said).await;
    let client = Client::ask(server.address).await;
    heard.expect("write begins").await;
    client.hang_up().await;
    heard.expect("client hung up").await;
    server.may_write.add_permits(1);
    for what in ["write ends", "request body gone", "request cleanup", "connection left"] {
        heard.expect(what).await;
    }
    server.handle.cancel_with("shutdown");
    heard.expect("server left").await;
}

#[tokio::test]
async fn u5_nothing_is_handed_over_while_the_client_waits() {
    let (said, mut heard) = Said::new();
    let server = Server::start(Home::Server, &said).await;
    let client = Client::ask(server.address).await;
    heard.expect("write begins").await;
    server.may_write.add_permits(1);
    let response = client.response.await.unwrap().unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "written");
    for what in ["write ends", "request done", "request body gone", "request cleanup", "connection served"] {
        heard.expect(what).await;
    }
    heard.expect("connection left").await;
    server.handle.cancel_with("shutdown");
    heard.expect("server left").await;
}

/// On threads in parallel, so that the hand-over races with the end of the connection and with the shutdown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u5_many_clients_that_hang_up_at_once_lose_no_request() {
    const CLIENTS: usize = 50;
    let (said, mut heard) = Said::new();
    let server = Server::start(Home::Server, &said).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::ask(server.address).await);
    }
    for _ in 0..CLIENTS {
        heard.expect("write begins").await;
    }
    for client in clients {
        outside(client.hang_up());
    }
    let mut hung_up = 0;
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    while let Some(what) = heard.0.recv().await {
        hung_up += usize::from(what == "client hung up");
        if what == "client hung up" && hung_up == CLIENTS {
            server.handle.cancel_with("shutdown");
            server.may_write.add_permits(CLIENTS);
        }
        if what == "server left" {
            break;
        }
        *counts.entry(what).or_default() += 1;
    }
    for what in ["client hung up", "connection left", "write ends", "request body gone", "request cleanup"] {
        assert_eq!(counts.get(what), Some(&CLIENTS), "{what}: {counts:?}");
    }
    assert_eq!(counts.get("request done"), None);
    assert_eq!(scope_runtime::root::count(), 0);
}
