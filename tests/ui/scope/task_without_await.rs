use scope_runtime::{Cancelled, scope, spawn};

async fn place() -> Result<(), Cancelled> {
    scope!({
        let task = spawn!(fetch());
        let number: u8 = task;
    })
}

async fn question_mark() -> Result<(), Cancelled> {
    scope!({ spawn!(fetch())? })
}

async fn fetch() -> u8 {
    1
}

fn main() {}
