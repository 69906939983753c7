//! A server that ends well: on Ctrl-C or SIGTERM it takes no new connections and no new requests, and gives those in
//! flight two seconds to finish.
//!
//! A request is a line with a number of milliseconds, and is answered that much later. Start it with
//! `cargo run --bin graceful_shutdown`, ask with `echo 1500 | nc 127.0.0.1 PORT`, and press Ctrl-C before the answer.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use scope_runtime::{ScopeHandle, current, is_cancelled, scope, spawn};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

const BOUND: Duration = Duration::from_secs(2);
static CUT: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);

    let stopped = scope!(name = "server", {
        spawn!(background, async move {
            let name = tokio::select! { _ = interrupt.recv() => "Ctrl-C", _ = terminate.recv() => "SIGTERM" };
            println!("{name}: finishing what is in flight");
            current().cancel_with(name);
        });
        let listener = listener; // the body's own, so it closes before the requests in flight are awaited
        loop {
            let (stream, client) = listener.accept().await?;
            spawn!(name = "connection", async move {
                if let Err(error) = serve(stream).await {
                    println!("{client}: {error}"); // one client's trouble is not the server's
                }
            });
        }
    });

    // Here every connection has ended.
    println!("{}", stopped.unwrap_err());
    Ok(if CUT.load(Relaxed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut requests = BufReader::new(reader).lines();
    let server = current();
    // Idle, between two requests: the server's cancel ends it at this await, and what came just then is not begun.
    while let Some(request) = requests.next_line().await?
        && !is_cancelled()
    {
        // In flight: the shield hides the cancel, which only starts the clock.
        let answered = scope!(shield, name = format!("request {request}"), |this| {
            spawn!(background, bound(server.clone(), this.handle()));
            let answer = answer(&request).await;
            writer.write_all(answer.as_bytes()).await?;
        });
        if let Err(cancelled) = answered {
            println!("cut: {cancelled}");
            CUT.fetch_add(1, Relaxed);
        }
    }
    Ok(())
}

async fn bound(server: ScopeHandle, request: ScopeHandle) {
    server.cancelled().await;
    request.set_deadline(Instant::now() + BOUND);
}

async fn answer(request: &str) -> String {
    let Ok(ms) = request.trim().parse() else { return "not a number of milliseconds\n".to_owned() };
    sleep(Duration::from_millis(ms)).await;
    format!("answered after {ms} ms\n")
}
