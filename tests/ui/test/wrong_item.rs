#[scope_runtime::test]
fn sync_code() {}

#[scope_runtime::test(every_await)]
async fn with_parameters(_run: u8, _: u8) {}

#[scope_runtime::test]
async fn generic<T>() {}

#[scope_runtime::test]
struct Struct;

trait Trait {
    #[scope_runtime::test]
    async fn declared();
}

fn main() {}
