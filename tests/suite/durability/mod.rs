//! The promise, put to the test from outside: the program is killed, its store is taken away, and what clients were told is
//! compared with what is in the bucket.

mod checker;
mod kill;
mod load;
mod outage;
