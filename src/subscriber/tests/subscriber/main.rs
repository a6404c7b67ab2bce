//! The program, run as people run it: a real ring and publisher before it, librdkafka's mock cluster behind it.

mod audit;
mod books;
mod command;
mod drain;
mod exactly;
mod faults;
mod rig;
mod settings;
mod topics;
