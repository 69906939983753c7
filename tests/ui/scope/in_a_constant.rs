use scope_runtime::{Cancelled, scope};

const ONE: Result<u8, Cancelled> = scope!({ 1 });

const fn two() {
    let _ = scope!({ 2 });
}

fn main() {}
