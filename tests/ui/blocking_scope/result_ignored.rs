#![deny(unused_must_use)]

use scope_runtime::blocking_scope;

fn main() {
    blocking_scope!(timeout = 3s, { 1 });
}
