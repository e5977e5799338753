//! The commands, and the only place that wires rooms together.
