//! The policies under `policies/`: what `forebay policy` prints of them, and what it means to an engine that evaluates
//! policies as AWS documents it. No AWS was asked; `policies/README.md` says what was evaluated by what.

mod cases;
mod cloudformation;
mod command;
mod engine;
mod pages;
mod printed;
mod stack;
mod weaken;
