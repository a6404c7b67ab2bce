//! The ring over a heap: every rule, with a death before every step.

mod crash;
mod disk;
mod drawing;
mod loom;
mod meddling;
mod model;
mod rules;
mod shuttle;
mod stage;
mod waiting;
mod world;
