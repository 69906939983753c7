//! What a token costs: looking at one is free, and what comes and goes leaves nothing behind in the others.

use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Waker};

use scope_runtime::CancelToken;
use tokio_util::sync::CancellationToken;

fn poll_once<F: Future>(future: F) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn looking_at_a_token_and_waiting_for_one_allocates_nothing() {
    let [a, b] = ["a", "b"].map(CancelToken::new);
    let (chained, theirs) = (a.chain(&b), CancellationToken::new());
    let imported = CancelToken::from(&theirs);
    let counted = allocation_counter::measure(|| {
        for token in [&a, &chained, &imported] {
            assert!(!black_box(token).is_triggered());
            assert!(black_box(token).check().is_ok());
            drop(black_box(token.clone()));
        }
        for token in [&a, &imported] {
            poll_once(token.wait());
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_future_under_a_token_allocates_nothing_while_it_is_not_triggered() {
    let token = CancelToken::new("token");
    let run = || poll_once(token.run(pending::<()>()));
    run(); // the place of the call is noted once
    assert_eq!(allocation_counter::measure(run).count_total, 0);
}

#[test]
fn what_comes_and_goes_leaves_nothing_behind_in_a_token_that_stays() {
    let (shutdown, theirs) = (CancelToken::new("shutdown"), CancellationToken::new());
    let request = |n: u32| {
        let token = CancelToken::new(format!("request {n}")).chain(&shutdown).chain(&theirs);
        poll_once(token.wait());
        poll_once(token.run(pending::<()>()));
        poll_once(token.first_of([pending::<()>(), pending()]));
        let converted = CancellationToken::from(&token);
        drop(CancelToken::from(&converted));
        // Given away, and cancelled at its end.
        drop(CancellationToken::from(token.chain(&shutdown)).drop_guard());
    };
    request(0);
    let counted = allocation_counter::measure(|| (1..=100).for_each(request));
    assert!(counted.count_total > 100, "it was measured");
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0));
    assert!(!shutdown.is_triggered() && !theirs.is_cancelled());
}
