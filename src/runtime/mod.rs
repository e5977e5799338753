//! The environment of a running process: its clock, random numbers, signals, limits and log.

pub mod background;
pub mod begin_anew;
pub mod clock;
pub mod colour;
pub mod filesystem;
pub mod handles;
pub mod log_queue;
pub mod log_writer;
pub mod memory;
pub mod meter;
pub mod paint;
pub mod progress;
pub mod random;
pub mod say;
pub mod shutdown;
pub mod telemetry;
pub mod terminal;
pub mod usage;

pub use background::Background;
pub use clock::SystemClock;
pub use random::SystemRandom;
pub use shutdown::{Shutdown, StageWords};
