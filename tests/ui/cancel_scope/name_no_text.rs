use scope_runtime::cancel_scope;

#[cancel_scope(name = 5)]
async fn literal() {}

#[cancel_scope(name = 5 + number)]
async fn number(number: u32) {}

fn main() {}
