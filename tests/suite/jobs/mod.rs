//! `forebay batch`: whole jobs by the real program, with handlers in Python.

mod api_calls;
mod api_lives;
mod asked;
#[cfg(feature = "lambda")]
mod assumed_role;
mod control;
#[cfg(feature = "lambda")]
mod emulated;
mod functions;
mod imports;
mod kills;
mod life;
mod page;
mod proof;
mod refused;
mod support;
mod surroundings;
mod troubles;
