//! What stands around a body for the sake of what is in it.

use super::{Called, expand};
use quote::quote;

#[test]
fn f1_every_fork_has_a_slot_that_the_boundary_polls() {
    for called in [
        quote!({
            fork!(a);
            fork!(b);
        }),
        quote!({
            scope!({
                fork!(a);
                fork!(b);
            })
            .await
        }),
    ] {
        let code = expand(Called::Scope, called).to_string();
        let times = |text: &str| code.matches(text).count();
        assert_eq!(times(":: Forks :: new"), 2, "{code}");
        assert_eq!(times(":: forks ("), 2, "{code}");
    }
}

#[test]
fn f5_supervise_decides_what_kind_of_scope_it_is() {
    let code = |input| expand(Called::Scope, input).to_string();
    assert!(
        code(quote!(supervise, {
            spawn!(a);
        }))
        .contains(":: Scope :: supervise")
    );
    assert!(
        code(quote!({
            spawn!(a);
        }))
        .contains(":: Scope :: new")
    );
}
