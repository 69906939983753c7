use scope_runtime::try_join;

async fn place() -> Result<(u8, u8), std::io::Error> {
    try_join!(async { Ok(1) }, async { 2 })
}

fn main() {}
