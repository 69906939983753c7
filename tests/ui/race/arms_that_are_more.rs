use scope_runtime::{race, try_join};

async fn fetch() -> u8 {
    1
}

async fn as_in_select() -> u8 {
    race! { page = fetch() => page, _ = fetch() => 0 }
}

async fn named() {
    let _ = try_join!(a = async { Ok::<u8, ()>(1) }, b = async { Ok::<u8, ()>(2) });
}

async fn with_a_semicolon() -> u8 {
    race!(fetch(); fetch())
}

fn main() {
    let _ = (as_in_select(), named(), with_a_semicolon());
}
