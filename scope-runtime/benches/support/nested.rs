//! The same construct around itself, as often as there are `_`.

/// `scope!`s around an expression, each with the options in brackets.
macro_rules! nested_scopes {
    ([$($options:tt)*] $body:expr;) => { $body };
    ([$($options:tt)*] $body:expr; _ $($levels:tt)*) => {
        scope_runtime::scope!($($options)* {
            let _ = std::hint::black_box(nested_scopes!([$($options)*] $body; $($levels)*));
        })
    };
}
pub(crate) use nested_scopes;

/// A function call of one argument around an argument: `nested_calls!(f; x; _ _)` is `f(f(x))`.
macro_rules! nested_calls {
    ($call:expr; $argument:expr;) => { $argument };
    ($call:expr; $argument:expr; _ $($levels:tt)*) => { $call(nested_calls!($call; $argument; $($levels)*)) };
}
pub(crate) use nested_calls;
