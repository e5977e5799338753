//! `forebay batch`: whole jobs by the real program, with handlers in Python.

mod asked;
mod functions;
mod kills;
mod life;
mod page;
mod proof;
mod refused;
mod support;
mod troubles;
