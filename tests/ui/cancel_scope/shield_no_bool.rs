use scope_runtime::cancel_scope;

#[cancel_scope(shield = "yes")]
async fn literal() {}

#[cancel_scope(shield = 5 + 5)]
async fn number() {}

fn main() {}
