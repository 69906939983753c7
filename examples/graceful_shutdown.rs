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
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
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

async fn serve(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use scope_runtime::testing;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// Sends requests to a server, hangs up after a minute, and checks in the end that the answers are as `expected`.
    async fn ask(requests: &[u8], expected: &'static [&'static str]) {
        let (mut client, server) = duplex(1024);
        client.write_all(requests).now_or_never().unwrap().unwrap();
        let (mut answers, mut writer) = tokio::io::split(client);
        testing::finally(move || {
            let mut answered = String::new();
            // The server is gone, so what it wrote is all there.
            answers.read_to_string(&mut answered).now_or_never().unwrap().unwrap();
            assert!(expected.contains(&&*answered), "{answered:?}");
        });
        let hang_up = async {
            sleep(Duration::from_secs(60)).await;
            writer.shutdown().await.unwrap();
        };
        let (served, ()) = tokio::join!(serve(server), hang_up);
        served.unwrap();
    }

    /// The first request is begun before a cancel can come, so it is answered; the second if it is begun.
    #[scope_runtime::test(every_await)]
    async fn a_request_in_flight_is_answered() {
        const ONE: &str = "answered after 1500 ms\n";
        const BOTH: &str = "answered after 1500 ms\nnot a number of milliseconds\n";
        ask(b"1500\nnonsense\n", &[ONE, BOTH]).await;
    }

    /// A request that takes longer than the bound is cut, and that is told by the connection's end.
    #[scope_runtime::test(every_await)]
    async fn an_answer_that_takes_too_long_is_cut() {
        ask(b"30000\n", &["", "answered after 30000 ms\n"]).await;
    }
}
