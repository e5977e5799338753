//! The operator's side, on a listener of its own: metrics, readiness, status and flush. None of it is on the public port.
