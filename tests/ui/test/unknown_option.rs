#[scope_runtime::test(every_awiat)]
async fn near() {}

#[scope_runtime::test(flavor = "multi_thread", every_await)]
async fn far() {}

#[scope_runtime::test(timeout = 3s)]
async fn of_a_scope() {}

#[scope_runtime::test(scope = s, every_await, every_await)]
async fn named() {}

#[scope_runtime::test(every_await = true)]
async fn with_a_value() {}

#[scope_runtime::test("every_await")]
async fn text() {}

#[scope_runtime::cancel_scope(every_await)]
async fn no_test() {}

fn main() {}
