//! An address to listen at, as a value of the configuration.

use std::net::SocketAddr;

/// The form of an address, for errors.
pub(super) const ADDRESS_FORM: &str = "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";

/// Whether two listeners cannot have these addresses. Port 0 never conflicts: the system assigns a different
/// port each time.
pub(super) fn same_address(a: SocketAddr, b: SocketAddr) -> bool {
    a == b && a.port() != 0
}
