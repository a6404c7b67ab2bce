//! The publisher: one thread that drains a ring over ZeroMQ.
