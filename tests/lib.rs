//! What the tests of `scope-runtime` share.
//!
//! [`conformance`] runs programs of a small language on the library and holds their traces against those
//! that real Trio gave. The command `conformance` and the test of that name are two fronts of it. [`stress`] runs
//! random programs on real threads; so are the command `stress` and its test.

pub mod generated;
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

/// The rules as a small executable model, random programs, and the comparison with the library.
///
/// The data goes one way: [`generate`](model::generate) makes a [`program`](model::program), the
/// [`machine`](model::machine) runs it by the [`rules`](model::rules), [`library`](model::library) on the library, and
/// [`check`](model::check) compares their [`trace`](model::trace)s.
pub mod model {
    pub mod boundary;
    pub mod chance;
    pub mod check;
    pub mod future;
    pub mod generate;
    pub mod library;
    pub mod machine;
    pub mod program;
    pub mod rules;
    pub mod trace;
}
