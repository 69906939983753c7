//! A spawned arm, and what it gives, is sent between threads.

use std::rc::Rc;

use scope_runtime::{Cancelled, spawn, try_join};

async fn shared() -> Result<Rc<u8>, Cancelled> {
    Ok(Rc::new(7))
}

async fn rows() -> Result<u8, Cancelled> {
    let (rows, _) = try_join!(spawn!(shared()), shared())?;
    Ok(*rows)
}

fn main() {}
