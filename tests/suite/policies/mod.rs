//! Tests of the policies under `policies/`: what `forebay policy` prints, and how an engine that follows the
//! AWS documentation evaluates it. AWS itself is not asked; `policies/README.md` lists what was evaluated
//! with what.

mod batch;
mod cases;
mod cloudformation;
mod command;
mod csv_lambda;
mod engine;
mod imports;
mod pages;
mod printed;
mod stack;
mod weaken;
