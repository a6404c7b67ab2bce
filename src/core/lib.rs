//! What an event is, where its bytes lie, and how they travel. Nothing here knows nginx, ZeroMQ or Kafka.
//!
//! The data's way: [`event`] -> [`format`] -> [`record`] -> [`ring`] -> [`feed`].

mod digits;
pub mod escape;
pub mod event;
pub mod exposition;
pub mod feed;
pub mod field;
pub mod format;
pub mod gzip;
pub mod id;
pub mod inflate;
mod lanes;
pub mod query;
pub mod record;
pub mod ring;
pub mod time;
pub mod took;
