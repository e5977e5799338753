//! Refused requests, grouped by cause and client. Pure.
//!
//! Anyone can cause refused requests, and as many of them as the network carries. So a request that fits a
//! group changes a few numbers, one that fits none takes the place of an older group, and neither takes more
//! time than the search through the hashes of a fixed number of groups.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::refused_request::RefusedRequest;
use crate::sources::{KeyBeginning, SourceId};
use crate::time::UnixMillis;

/// The most groups that are kept.
pub const GROUPS_MAX: usize = 200;
/// The most groups of one client: with a new key in each request it would displace those of all others.
pub const CLIENT_GROUPS_MAX: usize = 20;

/// Requests with the same cause, method, route, address, agent, source and beginning of the key.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The group's number: that of its first change.
    pub(super) id: u64,
    /// The number of the group's last change, among the changes of all groups.
    pub(super) changed: u64,
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) cause: &'static str,
    pub(super) message: Arc<str>,
    pub(super) remedy: &'static str,
    pub(super) method: Box<str>,
    pub(super) route: Box<str>,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Box<str>,
    pub(super) source: Option<SourceId>,
    pub(super) key: Option<KeyBeginning>,
    pub(super) requests: u64,
    pub(super) first: UnixMillis,
    pub(super) last: UnixMillis,
}

/// The groups that had a request last, at most [`GROUPS_MAX`].
#[derive(Debug, Default)]
pub(super) struct RefusedGroups {
    hasher: RandomState,
    /// The hashes of the groups, in their order.
    hashes: Vec<u64>,
    groups: Vec<Arc<Group>>,
    /// The number of the next change.
    pub(super) next: u64,
    /// Groups that newer ones displaced, and their requests.
    pub(super) dropped: (u64, u64),
}

impl Group {
    fn has(&self, request: &RefusedRequest<'_>) -> bool {
        self.cause == request.cause
            && self.address == request.address
            && *self.method == *request.method
            && *self.route == *request.route
            && *self.agent == *request.agent
            && self.source == request.source
            && self.key == request.key
    }
}

impl RefusedGroups {
    /// Adds a request to its group, or makes one.
    pub(super) fn add(&mut self, request: RefusedRequest<'_>, message: Arc<str>, at: UnixMillis) {
        let changed = self.next;
        self.next = self.next.saturating_add(1);
        let RefusedRequest { cause, method, agent, address, .. } = &request;
        let hash = self
            .hasher
            .hash_one((cause, method, &request.route, address, agent, &request.source, &request.key));
        let mut known = self.hashes.iter().zip(&mut self.groups);
        if let Some((_, group)) = known.find(|(other, group)| **other == hash && group.has(&request)) {
            let group = Arc::make_mut(group);
            group.requests = group.requests.saturating_add(1);
            (group.changed, group.last, group.message) = (changed, at, message);
            return;
        }
        let place = self.place_for(request.address);
        let group = Arc::new(Group {
            id: changed,
            changed,
            status: request.status,
            code: request.code,
            cause: request.cause,
            message,
            remedy: request.remedy,
            method: request.method.into(),
            route: request.route.into(),
            address: request.address,
            agent: request.agent.into(),
            source: request.source,
            key: request.key,
            requests: 1,
            first: at,
            last: at,
        });
        let displaced =
            place.and_then(|place| Some((self.groups.get_mut(place)?, self.hashes.get_mut(place)?)));
        let Some((old, its_hash)) = displaced else {
            self.groups.push(group);
            self.hashes.push(hash);
            return;
        };
        self.dropped.0 = self.dropped.0.saturating_add(1);
        self.dropped.1 = self.dropped.1.saturating_add(old.requests);
        (*old, *its_hash) = (group, hash);
    }

    /// The place of the group that a new one of this client displaces: the client's own one that had no
    /// request for the longest time if the client has many, and the one of all if there is no room.
    fn place_for(&self, address: Option<IpAddr>) -> Option<usize> {
        let client = client_of(address);
        let places = || self.groups.iter().enumerate();
        let own = || places().filter(move |(_, group)| client_of(group.address) == client);
        let oldest = |(place, _): (usize, &Arc<Group>)| place;
        if own().count() >= CLIENT_GROUPS_MAX {
            return own().min_by_key(|(_, group)| group.changed).map(oldest);
        }
        if self.groups.len() >= GROUPS_MAX {
            places().min_by_key(|(_, group)| group.changed).map(oldest)
        } else {
            None
        }
    }

    /// All groups, the one with the last request first. Whoever refuses requests waits until it returns, so
    /// texts are made later.
    pub(super) fn newest(&self) -> Vec<Arc<Group>> {
        let mut groups: Vec<Arc<Group>> = self.groups.iter().map(Arc::clone).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.changed));
        groups
    }

    /// Forgets all groups. Their requests stay counted as those of displaced ones.
    pub(super) fn clear(&mut self) {
        self.dropped.0 = self.dropped.0.saturating_add(self.groups.len() as u64);
        let requests = self.groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.requests));
        self.dropped.1 = self.dropped.1.saturating_add(requests);
        self.groups.clear();
        self.hashes.clear();
    }
}

/// The client with an address: of IPv6 its /64 network, because who has one of its addresses has all of them.
fn client_of(address: Option<IpAddr>) -> Option<IpAddr> {
    Some(match address?.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::super::refused_request::tests::request;
    use super::*;

    fn add(groups: &mut RefusedGroups, request: RefusedRequest<'_>, at: i64) {
        let message = request.message.into();
        groups.add(request, message, UnixMillis(at));
    }

    #[test]
    fn requests_of_one_cause_and_client_are_one_group() {
        let mut groups = RefusedGroups::default();
        for at in 1..=3 {
            add(&mut groups, request(), at);
        }
        let others = [
            RefusedRequest { cause: "bearer_token", ..request() },
            RefusedRequest { route: "/v1/track".into(), ..request() },
            RefusedRequest { method: "PUT", ..request() },
            RefusedRequest { address: None, ..request() },
            RefusedRequest { agent: "curl/8.5.0", ..request() },
            RefusedRequest { source: Some(SourceId::new("web").unwrap()), ..request() },
            RefusedRequest { key: Some(KeyBeginning::of("other-key-1")), ..request() },
        ];
        for other in others {
            add(&mut groups, other, 4);
        }
        add(&mut groups, RefusedRequest { message: "the last one", ..request() }, 5);
        let newest = groups.newest();
        assert_eq!(newest.len(), 8);
        let first = &newest[0];
        assert_eq!((first.requests, first.first, first.last), (4, UnixMillis(1), UnixMillis(5)));
        assert_eq!(&*first.message, "the last one");
        assert!(newest[1..].iter().all(|group| group.requests == 1));
    }

    #[test]
    fn one_client_displaces_its_own_groups_and_no_more() {
        let mut groups = RefusedGroups::default();
        let honest = || RefusedRequest { address: Some("198.51.100.1".parse().unwrap()), ..request() };
        add(&mut groups, honest(), 0);
        for at in 0..10_000 {
            // Each address of its network is the same client.
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, u16::try_from(at % 500).unwrap());
            let agent = format!("flood/{at}");
            add(
                &mut groups,
                RefusedRequest { address: Some(address.into()), agent: &agent, ..request() },
                at,
            );
        }
        let newest = groups.newest();
        assert_eq!(newest.len(), 1 + CLIENT_GROUPS_MAX);
        assert_eq!((&*newest[0].agent, newest[20].address), ("flood/9999", honest().address));
        assert_eq!(groups.dropped, (10_000 - 20, 10_000 - 20));
    }

    #[test]
    fn the_number_of_groups_is_bounded_and_what_falls_out_is_counted() {
        let mut groups = RefusedGroups::default();
        for client in 0..300_u16 {
            let [high, low] = client.to_be_bytes();
            let address = Some(IpAddr::from([198, 18, high, low]));
            for at in [1, 2] {
                add(&mut groups, RefusedRequest { address, ..request() }, at);
            }
        }
        assert_eq!((groups.newest().len(), groups.dropped), (GROUPS_MAX, (100, 200)));
        assert_eq!(groups.newest().last().unwrap().address, Some("198.18.0.100".parse().unwrap()));
        groups.clear();
        assert_eq!((groups.newest().len(), groups.dropped), (0, (300, 600)));
    }
}
