//! The program `sparkngin`.

fn main() {}
