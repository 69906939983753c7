// A macro can't see that it stands in a constant, and what it becomes has no form that breaks one rule of constants
// only: so the compiler tells of each.

use scope_runtime::{Cancelled, blocking_scope};

const ONE: Result<u8, Cancelled> = blocking_scope!({ 1 });

fn main() {
    let _ = ONE;
}
