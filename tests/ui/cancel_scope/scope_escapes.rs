use scope_runtime::cancel_scope;

use scope_runtime::{Scope, spawn};

#[cancel_scope(scope = s)]
async fn stored(list: &mut Vec<&Scope<()>>) {
    list.push(s);
}

#[cancel_scope(scope = s)]
async fn captured() {
    spawn!(async move {
        s.cancel();
    });
}

fn main() {}
