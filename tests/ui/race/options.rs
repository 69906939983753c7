use scope_runtime::race;

async fn place() {
    race!(timeout = 3s, fetch());
    race!(name = "first", fetch(), fetch());
}

async fn fetch() -> u8 {
    1
}

fn main() {}
