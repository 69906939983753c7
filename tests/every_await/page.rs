//! The example of `docs/testing.md`, word for word: the bug is found, and its mend passes.
