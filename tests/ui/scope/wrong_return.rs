use scope_runtime::scope;

async fn place() -> u8 {
    scope!({
        if true {
            return "one";
        }
    })
    .ok();
    1
}

fn main() {}
