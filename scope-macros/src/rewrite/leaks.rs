//! Tasks and threads that no scope would wait for.

use super::Misuse;
use crate::model::Side;
use syn::{Expr, ExprCall};

const LEAKS: [&[&str]; 3] = [&["tokio", "spawn"], &["tokio", "task", "spawn"], &["std", "thread", "spawn"]];

/// Looks at what is called. Only full paths are sure to mean what they say.
pub(super) fn leak(call: &ExprCall, side: Side) -> Option<Misuse> {
    let Expr::Path(function) = &*call.func else { return None };
    let path: Vec<String> = function.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    LEAKS.iter().any(|leak| path == *leak).then(|| Misuse::Leak { path: function.path.clone(), side })
}
