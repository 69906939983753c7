use scope_runtime::race;

fn place() -> u8 {
    race!(async { 1 })
}

fn main() {}
