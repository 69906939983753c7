use scope_runtime::cancel_scope;

#[cancel_scope(!shield)]
async fn negated() {}

#[cancel_scope((timeout = 3s))]
async fn in_parentheses() {}

#[cancel_scope(#[cfg(test)] timeout = 3s)]
async fn with_an_attribute() {}

#[cancel_scope(=)]
async fn only_a_sign() {}

#[cancel_scope("fetch")]
async fn a_name() {}

#[cancel_scope(name = b"fetch")]
async fn a_name_in_bytes() {}

fn main() {
    let _ = (negated(), in_parentheses(), with_an_attribute(), only_a_sign(), a_name(), a_name_in_bytes());
}
