use scope_runtime::try_join;

async fn place() -> Result<(u8,), std::io::Error> {
    try_join!(5)
}

fn main() {}
