#[scope_runtime::test]
#[test]
async fn by_the_harness() {}

#[scope_runtime::test]
#[tokio::test(start_paused = true)]
async fn by_tokio() {}

fn main() {}
