//! The program `sparkngin`.

mod args;
mod backlog;
mod topics;
mod flight;

fn main() {}
