use scope_runtime::race;

async fn place() {
    race!(async { 1u8 }, async { "one" });
}

fn main() {}
