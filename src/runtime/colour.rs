//! Whether an output of this process shows colours.

use std::io::IsTerminal;

/// Whether `output` is a terminal that shows colours and nobody asked for none: `NO_COLOR` is unset or empty
/// (<https://no-color.org>), and `TERM` is not `dumb`.
pub fn wanted(output: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_drawable(output) && !is_set("NO_COLOR")
}

/// Whether `output` is a terminal on which the cursor can be moved.
pub fn is_drawable(output: &impl IsTerminal) -> bool {
    output.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
