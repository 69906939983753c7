use scope_runtime::try_join;

async fn place() {
    let _ = try_join!(async { Ok::<_, std::io::Error>(1) }, async { "2".parse::<u8>() });
}

fn main() {}
