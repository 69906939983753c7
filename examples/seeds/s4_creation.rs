//! A token needs nothing but a name.

use scope_runtime::CancelToken;

use crate::out::Out;

pub(crate) fn run(out: &Out) {
    out.say(format_args!("{:?}", CancelToken::new("demo")));
}
