//! Allocations and sizes.
