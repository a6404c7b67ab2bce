//! Field.
