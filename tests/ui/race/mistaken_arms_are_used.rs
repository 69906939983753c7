#![deny(unused)]
#![allow(dead_code)]

use scope_runtime::race;

async fn place(a: u8, b: u8) -> u8 {
    race!(name = a, async move { b })
}

fn main() {}
