//! What every listener needs for its connections: how many may be open, which one leaves for another, and how
//! long each may take.

pub mod seats;
pub mod times;
