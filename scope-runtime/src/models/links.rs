//! Scopes that others cancel: by a link, a bubble, a token (rules B1-B3).

use std::future::pending;

use loom::future::block_on;

use super::{check, check_with, pause, thread};
use crate::{CancelToken, Cause, scope, spawn};

#[test]
fn a_cancel_goes_on_to_a_linked_scope_or_comes_too_late_for_it() {
    check(|| {
        block_on(async {
            let mut linked = None;
            let left = scope!(|a| {
                let handle = a.handle();
                linked = Some(thread(move || {
                    block_on(async {
                        scope!(link = handle, |b| {
                            b.cancel();
                            pending::<()>().await;
                        })
                    })
                }));
                pause().await;
                1
            });
            assert!(linked.unwrap().join().is_err());
            assert!(match left {
                Ok(1) => true,
                Err(cancelled) => matches!(cancelled.cause(), Cause::Link(_)),
                Ok(_) => false,
            });
        });
    });
}

#[test]
fn links_in_a_circle_end() {
    check_with(1, || {
        block_on(async {
            let left = scope!(|a| {
                let (handle, other) = (a.handle(), a.handle());
                let inner = scope!(link = handle, |b| {
                    let inner = b.handle();
                    thread(move || other.cancel());
                    thread(move || inner.cancel());
                    pending::<()>().await;
                });
                drop(inner);
                pending::<()>().await;
            });
            assert!(left.is_err());
        });
    });
}

#[test]
fn a_cancel_bubbles_out_of_a_child() {
    check(|| {
        let left = block_on(async {
            scope!(bubble, {
                spawn!(async {
                    let left = scope!(|inner| {
                        inner.cancel();
                        pending::<()>().await;
                    });
                    drop(left);
                });
                pending::<()>().await;
            })
        });
        assert!(matches!(left.unwrap_err().cause(), Cause::Bubble(_)));
    });
}

#[test]
fn a_token_that_fires_reaches_the_scope_that_begins_to_watch_it() {
    check(|| {
        let token = CancelToken::new("token");
        let left = block_on(async {
            let trigger = token.clone();
            thread(move || trigger.trigger());
            scope!(token = &token, { pending::<()>().await })
        });
        assert!(matches!(left.unwrap_err().cause(), Cause::Token { .. }));
    });
}

#[test]
fn a_token_that_fires_at_the_end_of_its_scope_does_no_harm() {
    check(|| {
        let token = CancelToken::new("token");
        let left = block_on(async {
            let trigger = token.clone();
            thread(move || trigger.trigger());
            scope!(token = &token, {
                pause().await;
                spawn!(async {});
            })
        });
        drop(left);
    });
}

#[test]
fn of_two_tokens_of_a_chain_everybody_names_the_same() {
    check(|| {
        let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
        let chain = a.chain(&b);
        let threads = [(a, chain.clone()), (b, chain.clone())].map(|(token, chain)| {
            thread(move || {
                token.trigger();
                chain.fired().unwrap().name().to_owned()
            })
        });
        let [first, second] = threads.map(|thread| thread.join());
        let last = chain.fired().unwrap().name().to_owned();
        assert!(first == last || second == last);
    });
}
