//! A spawned arm, and what it gives, is sent between threads.

use std::rc::Rc;

use scope_runtime::{race, spawn};

async fn shared() -> Rc<u8> {
    Rc::new(7)
}

async fn yields() {}

async fn holds() {
    let row = Rc::new(7);
    yields().await;
    drop(row);
}

async fn of_its_output() -> Rc<u8> {
    race!(spawn!(shared()), shared())
}

async fn of_itself() {
    race!(spawn!(holds()), holds())
}

fn main() {}
