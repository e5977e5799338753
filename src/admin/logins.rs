//! Bounds how many logins are read at once, in all and from one address.
//!
//! Anyone may send a login, and slowly. So logins must not take all connections of the listener, nor one
//! sender all permits for logins.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use super::guesses::network;
use crate::lock::lock;

/// Logins that are read at once. Further ones get 503.
pub const LOGINS_MAX: usize = 16;
/// Logins that are read at once from one address, or for IPv6 from one network.
pub const LOGINS_OF_PEER_MAX: usize = 4;

/// The logins that are being read.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<BTreeMap<IpAddr, usize>>);

/// A permit for one login, until the permit is dropped.
#[derive(Debug)]
pub(super) struct LoginPermit<'a> {
    logins: &'a Logins,
    peer: IpAddr,
}

impl Logins {
    /// A permit, if one is left.
    pub(super) fn begin(&self, peer: IpAddr) -> Option<LoginPermit<'_>> {
        let peer = network(peer);
        let mut logins = lock(&self.0);
        let all: usize = logins.values().sum();
        let of_peer = logins.entry(peer).or_default();
        if all >= LOGINS_MAX || *of_peer >= LOGINS_OF_PEER_MAX {
            logins.retain(|_, count| *count > 0);
            return None;
        }
        *of_peer += 1;
        Some(LoginPermit { logins: self, peer })
    }
}

impl Drop for LoginPermit<'_> {
    fn drop(&mut self) {
        let mut logins = lock(&self.logins.0);
        if let Some(count) = logins.get_mut(&self.peer) {
            *count -= 1;
        }
        logins.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn neither_one_sender_nor_many_take_every_place() {
        let logins = Logins::default();
        let mut places: Vec<_> = (0..LOGINS_OF_PEER_MAX).map(|_| logins.begin(peer(1)).unwrap()).collect();
        assert!(logins.begin(peer(1)).is_none());
        places.push(logins.begin(peer(2)).unwrap());
        while places.len() < LOGINS_MAX {
            let next = u8::try_from(places.len()).unwrap();
            places.push(logins.begin(peer(next + 2)).unwrap());
        }
        assert!(logins.begin(peer(99)).is_none());
        drop(places.remove(0));
        drop(logins.begin(peer(99)).unwrap());
        assert!(logins.begin(peer(1)).is_some());
        drop(places);
        assert!(lock(&logins.0).is_empty());
    }
}
