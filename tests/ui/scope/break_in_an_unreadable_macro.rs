use scope_runtime::scope;

macro_rules! hidden {
    ($($tokens:tt)*) => {
        ()
    };
}

async fn place() {
    loop {
        scope!({ hidden!(x => { break }) }).ok();
        scope!({ hidden!(x => loop { break }) }).ok();
        scope!({ hidden!(x => 'inner: loop { continue 'outer }) }).ok();
    }
}

fn main() {}
