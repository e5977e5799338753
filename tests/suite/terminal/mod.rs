//! The commands as a person at a terminal uses them.

mod find;
mod help;
mod https;
mod kafka_lines;
mod live;
mod pty;
mod refused;
mod status;
mod status_lines;
mod tail;
mod token;
mod unread;
