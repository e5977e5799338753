//! Binds the listeners of a node before anything is opened, so that a second process notices the first, and
//! fits the number of connections to the number of files that the process may open.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::error::NodeError;
use crate::admin::AccessSettings;
use crate::runtime::handles::{self, Fitted, Wanted};

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// Addresses to listen on.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for calls over TLS.
    pub tls: Option<SocketAddr>,
    /// The listener for operators.
    pub admin: AdminAt,
}

/// The listener for operators.
#[derive(Clone, Debug)]
pub struct AdminAt {
    /// Its address.
    pub listen: SocketAddr,
    /// Host names that are allowed besides those of this machine.
    pub hosts: Vec<String>,
    /// The most open connections.
    pub connections: usize,
    /// Who may use it.
    pub access: AccessSettings,
}

impl AdminAt {
    /// Binds its port. Errors: [`NodeError`]: the address cannot be used.
    pub fn bind(&self) -> Result<TcpListener, NodeError> {
        bind(self.listen, "serve the admin listener")
    }
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
            admin: addresses.admin.bind()?,
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

/// Raises the limit of open files, and reduces the number of connections to fit it. If there are fewer
/// connections than wanted, the second value is a warning, to be logged once the spool is open.
/// Errors: [`NodeError`] if the process may open too few files.
pub fn fit_connections(wanted: Wanted) -> Result<(Fitted, Option<String>), NodeError> {
    let limit = handles::raise();
    let fitted = handles::fit(limit, wanted).map_err(|error| NodeError::Other(error.to_string()))?;
    let (allowed, more) = (fitted.connections, wanted.connections.saturating_sub(fitted.connections));
    let fewer = (more > 0).then(|| {
        format!(
            "connections are limited to {allowed}: the process may open {limit} files; for {} connections, set LimitNOFILE to {} or more",
            wanted.connections,
            limit.saturating_add(more as u64)
        )
    });
    Ok((fitted, fewer))
}
