//! How the library behaves, one module per topic; the names carry the rule numbers of `docs/semantics.md`.

mod adoption;
mod blocking;
mod blocking_children;
mod causes;
mod control_flow;
mod deadlines;
mod delivery;
mod hand_over;
mod handles;
mod landings;
mod links;
mod misuse;
mod mixes;
mod policies;
mod report;
mod robustness;
mod rows;
mod shapes;
mod shields;
mod signals;
mod soft_cancel;
mod tasks;
mod tokens;
mod traps;
mod tree;
mod unwinding;
