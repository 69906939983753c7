use scope_runtime::detach;

async fn fetch() {}

fn main() {
    detach!();
    detach!(name = "fetch", fetch());
    detach!(fetch(), fetch());
    detach!(fetch);
}
