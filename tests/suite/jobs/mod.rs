//! `forebay batch`: whole jobs by the real program, with handlers in Python.

mod asked;
mod functions;
mod imports;
mod kills;
mod life;
mod page;
mod refused;
mod support;
