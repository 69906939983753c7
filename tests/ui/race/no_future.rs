use scope_runtime::race;

async fn place() {
    race!(async { 1u8 }, 2);
}

fn main() {}
