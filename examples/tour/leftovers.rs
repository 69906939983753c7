//! The last room: asks the runtime and the site what is left over.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::counts::Counts;

/// Prints what is left over, and says whether it is nothing.
pub(crate) async fn nothing_left_over(counts: &Counts) -> bool {
    let Counts { connections, requests, .. } = counts;
    let tasks = alive_tasks().await;
    let orphans = scope_runtime::root::count();
    println!("\nleft over");
    println!("{tasks:>6} tasks        on the runtime: Handle::metrics().num_alive_tasks()");
    println!("{orphans:>6} orphans      under the root: scope_runtime::root::count()");
    if connections.ever() > 0 {
        println!(
            "{:>6} connections  of the {} that the site has accepted",
            connections.open(),
            connections.ever()
        );
        println!(
            "{:>6} requests     of the {} that the site has been sent",
            requests.open(),
            requests.ever()
        );
    }
    tasks + orphans + connections.open() + requests.open() == 0
}

/// The number of tasks that the runtime holds.
///
/// A worker wakes whoever awaits a task a moment before it takes the task off its list, so the list may be asked too
/// early: that moment is waited for.
async fn alive_tasks() -> usize {
    let metrics = Handle::current().metrics();
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = timeout(Duration::from_millis(500), gone).await;
    metrics.num_alive_tasks()
}
