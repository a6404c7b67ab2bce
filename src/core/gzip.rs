//! Gzip.
