#![deny(unused_must_use)]

use scope_runtime::try_join;

async fn place() {
    try_join!(async { Ok::<_, std::io::Error>(1) });
}

fn main() {}
