//! The example of `docs/testing.md`, word for word: the bug is found, and the mend passes.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::sleep;

const PAGE: &str = include_str!("../../docs/testing.md");

type Lines = RefCell<Vec<&'static str>>;

/// Two lines at a time.
async fn send(batch: &[&str]) -> usize {
    sleep(Duration::from_millis(10)).await;
    batch.len().min(2)
}

mod mended {
    use std::rc::Rc;

    use scope_runtime::testing;

    use super::{Lines, send};

    include!("page/mended.rs");
    include!("page/test.rs");
}

#[test]
#[should_panic = "cancelled at suspension 1 of 2, at tests/every_await/page/test.rs:9: `flush(&buffer, &sent)`: \
                  what holds finally does not: assertion `left == right` failed"]
fn the_lost_lines_are_found() {
    /// In a function, where the harness does not look for tests.
    #[allow(unnameable_test_items)]
    mod lost {
        use std::rc::Rc;

        use scope_runtime::testing;

        use crate::page::{Lines, send};

        include!("page/lost.rs");
        include!("page/test.rs");

        pub(super) fn run() {
            no_line_is_lost();
        }
    }
    lost::run();
}

#[test]
fn the_page_shows_this_code() {
    for code in [include_str!("page/lost.rs"), include_str!("page/mended.rs"), include_str!("page/test.rs")] {
        assert!(PAGE.contains(code), "docs/testing.md has other code than\n{code}");
    }
}
