use scope_runtime::{Scope, Supervise, Task, scope, spawn};

fn supervised<R>(s: &Scope<R, Supervise>) -> Task<Result<u8, String>> {
    spawn!(in s, async { Err("text".to_owned()) })
}

fn ordinary<R>(s: &Scope<R>) -> Task<u8> {
    spawn!(in s, async { 1 })
}

// The policy decides what a child's error does: it has to be known.
fn either<R, P>(s: &Scope<R, P>) -> Task<u8> {
    spawn!(in s, async { 1 })
}

async fn place() {
    scope!(|s| { supervised(s) }).ok();
    scope!(supervise, |s| { ordinary(s) }).ok();
}

async fn result_stays_a_result() {
    scope!(supervise, {
        let number: u8 = spawn!(async { "1".parse::<u8>() }).await.unwrap();
    })
    .ok();
}

fn main() {}
