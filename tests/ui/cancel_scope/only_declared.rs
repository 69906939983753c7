//! A function without a body, in no trait.

use scope_runtime::cancel_scope;

#[cancel_scope]
fn rows(table: &str) -> u8;

fn main() {
    let _rows: u8 = rows("table");
}
