//! The ring over a heap: every rule, with a death before every step.

mod crash;
mod disk;
mod drawing;
mod dying;
mod looks;
mod loom;
mod meddling;
mod model;
mod power;
mod remains;
mod rules;
pub(super) mod scratch;
mod shuttle;
mod stage;
mod syncing;
mod threads;
mod waiting;
mod world;
