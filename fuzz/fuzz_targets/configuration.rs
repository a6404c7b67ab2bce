#![no_main]
//! See `targets.rs`.

#[path = "../targets.rs"]
#[allow(dead_code, reason = "each fuzzer names one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::configuration(bytes));
