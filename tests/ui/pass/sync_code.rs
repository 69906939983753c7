//! The expansions of sync code give no warning of their own, and name nothing that the user may have given a meaning.
#![deny(warnings, unused, unreachable_code, unused_qualifications, unused_braces, unused_parens, let_underscore_drop)]
#![deny(elided_lifetimes_in_paths, single_use_lifetimes, trivial_casts, unused_lifetimes, variant_size_differences)]
#![deny(clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]

pub extern crate scope_runtime as cancel;

use cancel::{Cancelled, Task, blocking_scope, cancel_scope, shield, spawn_blocking};

#[cancel_scope(crate = crate::cancel)]
fn empty() {}

#[cancel_scope(fallback = unreachable!(), crate = crate::cancel)]
fn diverges() -> u32 {
    return 5;
}

#[cancel_scope(timeout = 1s, scope = s, crate = crate::cancel)]
fn lends(rows: &mut Vec<u32>, __options: u32, threads_outlive_the_body0: u32) -> Result<u32, Cancelled> {
    let first: Task<u32> = spawn_blocking!(|| {
        rows.push(__options);
        rows.iter().sum::<u32>()
    });
    let second = spawn_blocking!(in s, move || threads_outlive_the_body0);
    shield!({});
    Ok(first.join()? + second.join()?)
}

fn blocks() -> Result<u32, Cancelled> {
    let mut sum = 0;
    for n in 0..3 {
        sum += blocking_scope!({ if n == 0 { continue; } n })?;
        blocking_scope!({})?;
        blocking_scope! { sum += 1; }?;
        blocking_scope!(|_| {})?;
        blocking_scope!(|s| { s.cancel() })?;
        blocking_scope!(fallback = (), { let () = spawn_blocking!(|| ()).join().unwrap_or(()); });
        blocking_scope!({ shield!({ sum += spawn_blocking!(|| 1).join()? }) })?;
    }
    let endless: Task<()> = blocking_scope!({ spawn_blocking!(background, || loop { if cancel::check().is_err() { break; } }) })?;
    drop(endless);
    loop {
        let _never: Result<(), Cancelled> = blocking_scope!({ break });
    }
    Ok(sum)
}

mod shadowed {
    #![allow(dead_code, non_snake_case)]
    use cancel::{blocking_scope, spawn_blocking};

    struct Option;
    struct Result;
    struct Scope;
    fn Some() {}
    fn Ok() {}
    fn drop() {}
    mod std {}
    mod core {}

    pub fn run() -> u8 {
        let task = blocking_scope!(fallback = return 0, |s| {
            assert_eq!(s.name(), "scope");
            spawn_blocking!(name = "child", || 7)
        });
        task.join().unwrap()
    }
}

fn main() {
    empty();
    assert_eq!(diverges(), 5);
    assert_eq!(lends(&mut vec![1], 2, 3).unwrap(), 6);
    assert_eq!(blocks().unwrap(), 7); // 1 + 2, and two in each round that goes on
    assert_eq!(shadowed::run(), 7);
}
