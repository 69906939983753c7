use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s")]
const fn fetch() -> u8 {
    1
}

const BYTE: u8 = fetch();

fn main() {}
