use scope_runtime::scope;

async fn place() {
    scope!({
        yield 1;
    })
    .ok();
}

fn main() {}
