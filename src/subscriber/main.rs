//! The program `sparkngin`.

mod args;
mod backlog;
mod cluster;
mod delivery;
mod flight;
mod http;
mod kafka;
mod letter;
mod post;
mod report;
mod rooms;
mod route;
mod sink;
mod topics;
mod view;
mod wake;

fn main() {}
