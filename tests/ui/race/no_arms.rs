use scope_runtime::race;

async fn place() -> u8 {
    race!()
}

fn main() {}
