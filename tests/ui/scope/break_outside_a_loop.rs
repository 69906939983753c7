use scope_runtime::scope;

async fn place() {
    scope!({ break }).ok();
    scope!({ continue 'nowhere }).ok();
    loop {
        scope!({
            let _closure = || { break };
            async { continue }.await;
        })
        .ok();
    }
}

fn main() {}
