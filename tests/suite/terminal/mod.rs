//! The commands as a person at a terminal uses them.

mod help;
mod https;
mod live;
mod pty;
mod status;
mod tail;
mod token;
mod unread;
