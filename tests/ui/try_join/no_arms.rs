use scope_runtime::try_join;

async fn place() {
    let _ = try_join!();
}

fn main() {}
