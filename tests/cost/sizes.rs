//! The future of an annotated function or of a `scope!` grows by at most 128 bytes per level, and linearly; by 8 more if
//! it is named, for the `&Scope`, by 112 per `fork!`, and by 176 per arm of a race, 200 of a join.

use std::time::Duration;

use scope_runtime::{Cancelled, cancel_scope, fork, race, scope, shield, spawn, try_join};

/// What one level may add.
const PER_LEVEL: usize = 128;

async fn leaf() {
    tokio::task::yield_now().await;
}

/// Sizes without a scope, and with 1, 4 and 8 levels.
#[track_caller]
fn assert_linear(what: &str, sizes: [usize; 4]) {
    assert_linear_by(PER_LEVEL, what, sizes);
}

#[track_caller]
fn assert_linear_by(per_level: usize, what: &str, [none, one, four, eight]: [usize; 4]) {
    let (first, middle, last) = (one - none, four - one, eight - four);
    let sizes = format!("{what}: {none} bytes without, then {one}, {four}, {eight}");
    assert!(first <= per_level, "the first level adds {first}; {sizes}");
    assert!(middle <= 3 * per_level, "three levels more add {middle}; {sizes}");
    assert!(last <= 4 * per_level, "four levels more add {last}; {sizes}");
    // Exactly so much per level: a size that doubles, or grows with the depth, shows here.
    assert_eq!(middle * 4, last * 3, "not linear: {sizes}");
}

/// Functions that call each other, under an attribute; the names are from the innermost to the outermost.
macro_rules! calls {
    ($(#[$attribute:meta])* -> $ret:ty, $ok:expr; $first:ident $($name:ident)*) => {
        $(#[$attribute])*
        async fn $first() -> $ret {
            leaf().await;
            $ok
        }
        calls!(@ $(#[$attribute])* -> $ret; $first $($name)*);
    };
    (@ $(#[$attribute:meta])* -> $ret:ty; $inner:ident) => {};
    (@ $(#[$attribute:meta])* -> $ret:ty; $inner:ident $outer:ident $($name:ident)*) => {
        $(#[$attribute])*
        async fn $outer() -> $ret {
            $inner().await
        }
        calls!(@ $(#[$attribute])* -> $ret; $outer $($name)*);
    };
}

#[test]
fn annotated_functions_that_call_each_other_grow_by_at_most_128_bytes_per_level() {
    mod plain {
        use super::leaf;
        calls!(-> (), (); a b c d e f g h);
        pub(super) fn sizes() -> [usize; 3] {
            [size_of_val(&a()), size_of_val(&d()), size_of_val(&h())]
        }
    }
    mod scoped {
        use super::{cancel_scope, leaf};
        calls!(#[cancel_scope] -> (), (); a b c d e f g h);
        pub(super) fn sizes() -> [usize; 3] {
            [size_of_val(&a()), size_of_val(&d()), size_of_val(&h())]
        }
    }
    let (scoped, plain) = (scoped::sizes(), plain::sizes());
    assert_linear("a call", [plain[0], scoped[0], scoped[1], scoped[2]]);
}

#[test]
fn annotated_functions_with_a_timeout_grow_by_at_most_128_bytes_per_level() {
    calls!(#[cancel_scope(timeout = "3s")] -> Result<u8, Cancelled>, Ok(1); a b c d e f g h);
    async fn plain() -> Result<u8, Cancelled> {
        leaf().await;
        Ok(1)
    }
    let sizes = [size_of_val(&plain()), size_of_val(&a()), size_of_val(&d()), size_of_val(&h())];
    assert_linear("a call with a timeout", sizes);
}

/// A block in blocks around an expression; the size of the future that holds them all.
macro_rules! size_of_nested {
    ([$($around:tt)*] $($levels:tt)*) => { size_of_val(&async { size_of_nested!(@ [$($around)*] $($levels)*) }) };
    (@ [$($around:tt)*]) => { leaf().await };
    (@ [$block:ident $($options:tt)*] _ $($levels:tt)*) => {
        { let _ = $block!($($options)* { size_of_nested!(@ [$block $($options)*] $($levels)*) }); }
    };
}

macro_rules! sizes_of_nested {
    ($($around:tt)*) => {[
        size_of_nested!([$($around)*]),
        size_of_nested!([$($around)*] _),
        size_of_nested!([$($around)*] _ _ _ _),
        size_of_nested!([$($around)*] _ _ _ _ _ _ _ _),
    ]};
}

#[test]
fn scopes_in_scopes_grow_by_at_most_128_bytes_per_level() {
    assert_linear("scope!", sizes_of_nested!(scope));
}

#[test]
fn scopes_in_scopes_with_a_timeout_grow_by_at_most_128_bytes_per_level() {
    assert_linear("scope!(timeout = 3s)", sizes_of_nested!(scope timeout = 3s,));
    // A variable would be borrowed by every level, at eight bytes each.
    let computed = sizes_of_nested!(scope timeout = Duration::from_secs(3),);
    assert_linear("scope!(timeout = Duration::from_secs(3))", computed);
}

#[test]
fn shields_in_shields_grow_by_at_most_128_bytes_per_level() {
    assert_linear("shield!", sizes_of_nested!(shield));
}

#[test]
fn scopes_that_are_named_grow_by_at_most_136_bytes_per_level() {
    macro_rules! named {
        (@) => { leaf().await };
        (@ _ $($levels:tt)*) => { drop(scope!(|_s| { named!(@ $($levels)*) })) };
        ($($levels:tt)*) => { size_of_val(&async { named!(@ $($levels)*) }) };
    }
    assert_linear_by(
        PER_LEVEL + 8,
        "scope!(|s| …)",
        [named!(), named!(_), named!(_ _ _ _), named!(_ _ _ _ _ _ _ _)],
    );
}

#[test]
fn a_value_that_leaves_a_scope_is_stored_once() {
    async fn value() -> [u8; 1024] {
        leaf().await;
        [0; 1024]
    }
    let plain = size_of_val(&async { value().await[0] });
    let scoped = size_of_val(&async { scope!({ value().await }).map(|value| value[0]) });
    assert!(scoped - plain <= PER_LEVEL + 1024, "{plain} bytes without a scope, {scoped} with");
}

#[test]
fn each_fork_that_is_written_adds_at_most_112_bytes_wherever_its_future_lives() {
    let big = [0u8; 1024];
    let none = size_of_val(&async { scope!({ drop(spawn!(leaf())) }).is_ok() });
    let one = size_of_val(&async { scope!({ drop(fork!(leaf())) }).is_ok() });
    let two = size_of_val(&async {
        scope!({
            fork!(leaf());
            fork!(async {
                leaf().await;
                assert_eq!(big[0], 0);
            });
        })
        .is_ok()
    });
    assert!(one - none <= 112, "{none} bytes without a fork, {one} with one");
    assert!(
        two - one <= 112 + 8,
        "{one} bytes with one fork, {two} with two, and a reference to what one borrows"
    );
}

#[test]
fn each_arm_of_a_race_adds_at_most_176_bytes_and_of_a_join_200() {
    let leaves = 2 * size_of_val(&leaf());
    let [one, three] =
        [size_of_val(&async { race!(leaf()) }), size_of_val(&async { race!(leaf(), leaf(), leaf()) })];
    assert!(one <= 320, "{one} bytes for a race");
    assert!(three - one <= 2 * 176 + leaves, "{one} bytes with one arm, {three} with three");
    let fallible = async || {
        leaf().await;
        Ok::<_, u8>(1u8)
    };
    let [one, three] = [
        size_of_val(&async { try_join!(fallible()) }),
        size_of_val(&async { try_join!(fallible(), fallible(), fallible()) }),
    ];
    let fallible = 2 * size_of_val(&fallible());
    assert!(three - one <= 2 * 200 + fallible, "{one} bytes with one arm, {three} with three");
    let spawned = size_of_val(&async { race!(spawn!(leaf()), spawn!(leaf())) });
    assert!(spawned <= PER_LEVEL + 64, "{spawned} bytes, since tasks live elsewhere");
}
