use scope_runtime::cancel_scope;

#[cancel_scope(timout = "3s", sheild)]
async fn near() {}

#[cancel_scope(frobnicate = 5)]
async fn far() {}

#[cancel_scope(garce = 3s)]
async fn planned() {}

fn main() {}
