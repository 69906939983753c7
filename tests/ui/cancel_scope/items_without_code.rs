use scope_runtime::cancel_scope;

#[cancel_scope]
struct Struct;

#[cancel_scope]
enum Enum {
    Variant,
}

#[cancel_scope]
trait Trait {}

#[cancel_scope]
mod module {}

fn main() {}
