//! What must not be written in a scope's body.

use crate::diagnostics::Diagnostics;
use crate::model::Side;
use crate::rewrite::Misuse;

pub(super) fn judge(misuses: Vec<Misuse>, called: &str, diagnostics: &mut Diagnostics) {
    for misuse in misuses {
        match misuse {
            Misuse::ValueJump { value } => diagnostics.on(
                value,
                format!("`break` can't carry a value out of `{called}`; set a variable first, then `break`"),
            ),
            Misuse::UnreadableJump { at, word, in_macro } => diagnostics.at(
                at,
                format!(
                    "`{word}` may leave `{called}`, which can't be seen inside `{in_macro}!`; \
                     set a variable there, and `{word}` behind it"
                ),
            ),
            Misuse::WrongSide { at, form, remedy } => diagnostics.at(at, format!("{form}; {remedy}")),
            Misuse::Await { at } => diagnostics.at(
                at,
                "`.await` in sync code; wait with `blocking::wait(future)`, or make the code around it async",
            ),
            Misuse::Leak { path, side } => {
                let names: Vec<String> =
                    path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                let otherwise = if names[0] == "std" {
                    "start the thread in a function of its own"
                } else {
                    "`detach!(…)` for a task that outlives the scope"
                };
                let spawn = match side {
                    Side::Async => "spawn!(…)",
                    Side::Sync => "spawn_blocking!(…)",
                };
                let message = format!(
                    "`{}` starts what no scope waits for; write `{spawn}`, or {otherwise}",
                    names.join("::")
                );
                diagnostics.on(path, message);
            }
            Misuse::Yield { at } => diagnostics.at(
                at,
                format!("`yield` can't cross `{called}`; end the scope first, then `yield` what it gave"),
            ),
        }
    }
}
