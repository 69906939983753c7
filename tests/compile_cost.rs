//! Compile-time cost.
fn main() {}
