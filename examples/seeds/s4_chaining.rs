//! A token that triggers when another one does.

use scope_runtime::CancelToken;

use crate::out::{Out, answer};

pub(crate) fn run(out: &Out) {
    let token_a = CancelToken::new("token-a");
    let token_b = CancelToken::new("token-b").chain(&token_a);
    out.say(answer(token_a.is_triggered()));
    out.say(answer(token_b.is_triggered()));
    token_a.trigger();
    out.say(answer(token_a.is_triggered()));
    out.say(answer(token_b.is_triggered()));
}
