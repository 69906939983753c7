//! What the tests of `scope-runtime` share.
//!
//! [`conformance`] runs programs of a small language on the library and holds their traces against those
//! that real Trio gave. The command `conformance` and the test of that name are two fronts of it. [`stress`] runs
//! random programs on real threads; so are the command `stress` and its test.

pub mod probe;
pub mod stress;

/// Programs, their interpreter on the public API, and the comparison with Trio's traces.
///
/// The data goes one way: [`golden`](conformance::golden) reads a file, [`program`](conformance::program)
/// parses its program, [`interpret`](conformance::interpret) runs it, and [`trace`](conformance::trace)
/// compares what happened with what Trio did.
pub mod conformance {
    pub mod golden;
    pub mod interpret;
    pub mod program;
    pub mod trace;
}
