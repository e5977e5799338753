//! Checks the addresses to listen on: free, or used by a running collector.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::finding::{CheckFinding, Remedy, Trial};
use super::holder::{Held, Holder, told};

/// An address in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The check's name.
    pub check: &'static str,
    /// The setting that names it.
    pub setting: &'static str,
    /// The address.
    pub addr: SocketAddr,
    /// Whether the collector speaks TLS there.
    pub tls: bool,
}

/// The result of binding to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortUse {
    /// It is free.
    Free,
    /// Another process listens there.
    Taken {
        /// Whether it is a collector of Forebay.
        by_forebay: bool,
        /// The process, if this user can see it.
        by: Option<Holder>,
    },
    /// This user may not listen there.
    Denied,
    /// This machine does not have the address.
    NotHere,
    /// Something else.
    Other(String),
}

impl PortUse {
    /// Who listens there.
    pub fn held(&self) -> Held {
        match self {
            Self::Taken { by, .. } => Held::By(by.clone()),
            Self::Free | Self::Denied | Self::NotHere | Self::Other(_) => Held::No,
        }
    }
}

/// Whether a listener can be opened there. `spool`: who holds the spool of the configuration.
pub fn judge(port: &Port, found: &PortUse, spool: &Held) -> CheckFinding {
    let Port { check, setting, addr, .. } = *port;
    let trial = Trial::new(check, format!("bind {addr} ({setting})"));
    match found {
        PortUse::Free if addr.port() == 0 => trial.passed(format!("{addr}: any free port")),
        PortUse::Free => trial.passed(format!("{addr} is free")),
        PortUse::Taken { by_forebay: true, by } if found.held().with(spool) != Some(false) => {
            trial.passed(format!(
                "{addr} is used by a running Forebay, {}{}, which is fine if that is the node of this configuration",
                told(by.as_ref()),
                if found.held().with(spool) == Some(true) { ", which holds its spool" } else { "" }
            ))
        }
        PortUse::Taken { by_forebay: true, by } => trial.warning(
            format!(
                "{addr} is used by a running Forebay with another spool, {}: `forebay serve` does not start beside it",
                told(by.as_ref())
            ),
            vec![Remedy::say(format!("stop it before `forebay serve`, or set another port in {setting}"))],
        ),
        PortUse::Taken { by_forebay: false, by } => trial.failed(
            match by {
                Some(holder) => format!("{addr} is taken by another program, {holder}"),
                None => format!("{addr} is taken by another program"),
            },
            vec![Remedy::paste(
                format!("stop that program, or set another port in {setting}"),
                format!("ss -ltnp 'sport = :{}'", addr.port()),
            )],
        ),
        PortUse::Denied => trial.failed(
            format!("{addr}: this user may not listen there (ports below 1024 need a capability)"),
            vec![Remedy::paste(
                format!("set a port of at least 1024 in {setting}, or give the service the capability"),
                "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            )],
        ),
        PortUse::NotHere => trial.failed(
            format!("{addr}: this machine has no such address"),
            vec![Remedy::say(format!(
                "set an address of this machine in {setting} (0.0.0.0 means all of them)"
            ))],
        ),
        PortUse::Other(why) => trial
            .failed(format!("{addr}: {why}"), vec![Remedy::say(format!("set another address in {setting}"))]),
    }
}

/// The address at which this machine reaches a listener: loopback if the listener accepts on all addresses.
pub fn here(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_port_of_the_node_of_the_configuration_passes() {
        let holder = |pid| Some(Holder { pid, program: "forebay serve".to_owned() });
        let spool = Held::By(holder(1));
        let check = |found: PortUse, outcome| {
            let addr = "127.0.0.1:8080".parse().unwrap();
            let port = Port { check: "listen", setting: "collector.listen", addr, tls: false };
            assert_eq!(judge(&port, &found, &spool).outcome, outcome, "{found:?}");
        };
        check(PortUse::Free, Outcome::Passed);
        check(PortUse::Taken { by_forebay: true, by: holder(1) }, Outcome::Passed);
        check(PortUse::Taken { by_forebay: true, by: None }, Outcome::Passed);
        check(PortUse::Taken { by_forebay: true, by: holder(2) }, Outcome::Warning);
        check(PortUse::Taken { by_forebay: false, by: holder(1) }, Outcome::Failed);
        check(PortUse::Taken { by_forebay: false, by: None }, Outcome::Failed);
        check(PortUse::Denied, Outcome::Failed);
        check(PortUse::NotHere, Outcome::Failed);
        check(PortUse::Other("x".to_owned()), Outcome::Failed);
    }
}
