use scope_runtime::detach;

async fn place() {
    detach!(5);
}

fn main() {}
