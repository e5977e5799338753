//! Binds the listeners of a node before anything is opened, so that a second process notices the first.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::error::NodeError;
use crate::admin::AccessSettings;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// Addresses to listen on.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for calls over TLS.
    pub tls: Option<SocketAddr>,
    /// The address for operators.
    pub admin: SocketAddr,
    /// Host names that are allowed for the admin listener.
    pub admin_hosts: Vec<String>,
    /// The most open connections of the admin listener.
    pub admin_connections: usize,
    /// Who may use the admin listener.
    pub access: AccessSettings,
}

/// Bound listeners. Clients that connect wait until the node accepts.
#[derive(Debug)]
pub struct Bound {
    pub(super) public: TcpListener,
    pub(super) tls: Option<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Bound {
    /// Binds the ports. Errors: [`NodeError`]: an address cannot be used.
    pub fn bind(addresses: &Addresses) -> Result<Self, NodeError> {
        Ok(Self {
            public: bind(addresses.public, "accept calls")?,
            tls: addresses.tls.map(|addr| bind(addr, "accept calls over TLS")).transpose()?,
            admin: bind(addresses.admin, "serve the admin listener")?,
        })
    }
}

fn bind(addr: SocketAddr, purpose: &'static str) -> Result<TcpListener, NodeError> {
    let bound = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|cause| NodeError::Listen(addr, purpose, cause))
}
