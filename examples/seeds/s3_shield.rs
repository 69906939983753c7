//! A shield in a group that is cancelled: the shielded block runs to its end, a child of the group does not.

use std::time::Duration;

use scope_runtime::{scope, shield, spawn};
use tokio::time::sleep;

use crate::out::Out;

async fn external_task(out: Out) {
    out.say("Started sleeping in the external task"); // though its group is cancelled: it runs to its first wait
    sleep(Duration::from_secs(1)).await;
    out.say("This line should never be seen");
}

pub(crate) async fn run(out: &Out) {
    let _ = scope!(|group| {
        shield!({
            spawn!(in group, external_task(out.clone())); // of the group, not of the shield
            group.cancel();
            out.say("Started sleeping in the host task");
            sleep(Duration::from_secs(1)).await;
            out.say("Finished sleeping in the host task");
        });
    });
}
