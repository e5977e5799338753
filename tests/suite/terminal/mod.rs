//! The commands as a person at a terminal uses them.

mod help;
mod pty;
mod status;
mod tail;
mod token;
