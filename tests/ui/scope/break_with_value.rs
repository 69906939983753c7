use scope_runtime::scope;

async fn place() {
    let _value = loop {
        scope!({ break 5 }).ok();
    };
}

async fn labelled() {
    let _value = 'block: {
        scope!({
            if true {
                break 'block 5u8;
            }
        })
        .ok();
        7
    };
}

fn main() {}
