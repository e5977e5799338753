//! What unfinished bodies may hold in memory, all requests together, and which of them goes when there is no room.
//!
//! It decides and does nothing else: who waits reports what it holds, and is told who has to go.
//!
//! - A part is kept for clients whose write key is known from the head. Others cannot use it, and never push them out.
//! - One address holds no more than its share.
//! - Where there is no room, the body goes that has waited longest since it made progress. First go those whose key is
//!   unknown, whatever they did: a known client is not pushed out while one of them holds anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Bytes that unfinished bodies may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// All of them together.
    pub(super) all: usize,
    /// Those whose client is unknown, together.
    pub(super) unknown: usize,
    /// Those of one address.
    pub(super) address: usize,
}

/// A client as the budget tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// One address.
    V4([u8; 4]),
    /// A network of /64: whoever has one address of it has all of them.
    V6([u8; 8]),
    /// What a trusted proxy sent cannot be read.
    Unreadable,
}

impl From<Option<IpAddr>> for Address {
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unreadable,
            Some(IpAddr::V4(v4)) => Self::V4(v4.octets()),
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Whether its write key is known from the head.
    pub(super) known: bool,
    /// Whose share it uses; `None` where no share applies.
    pub(super) address: Option<Address>,
}

/// Where a body stands in the budget. It changes when the body makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    known: bool,
    turn: Turn,
}

/// Grows with each progress of any body, so the lowest waits longest.
type Turn = u64;

/// What became of a wish for room. Whoever has to go holds nothing any more, in the budget's eyes.
#[derive(Debug)]
#[must_use]
pub(super) struct Outcome<T> {
    /// Where the body stands now; `None`: it has to go itself.
    pub(super) place: Option<Place>,
    /// The others that have to go.
    pub(super) gone: Vec<T>,
}

/// The bodies that are waited for. `T` is how their owners are reached.
#[derive(Debug)]
pub(super) struct Budget<T> {
    shares: Shares,
    next: Turn,
    unknown: Class<T>,
    known: Class<T>,
    addresses: HashMap<Address, AtAddress>,
}

#[derive(Debug)]
struct Waiting<T> {
    client: Client,
    bytes: usize,
    owner: T,
}

#[derive(Debug)]
struct Class<T> {
    bytes: usize,
    bodies: BTreeMap<Turn, Waiting<T>>,
}

#[derive(Debug, Default)]
struct AtAddress {
    unknown_bytes: usize,
    known_bytes: usize,
    unknown: BTreeSet<Turn>,
    known: BTreeSet<Turn>,
}

/// Who can be pushed out, in this order.
#[derive(Clone, Copy)]
enum Among {
    All,
    Address(Address),
}

impl<T> Budget<T> {
    /// A budget that nobody uses yet.
    pub(super) fn new(shares: Shares) -> Self {
        let class = || Class { bytes: 0, bodies: BTreeMap::new() };
        Self { shares, next: 0, unknown: class(), known: class(), addresses: HashMap::new() }
    }

    /// A body of `client` begins to be waited for, and holds so many bytes.
    pub(super) fn enter(&mut self, client: Client, bytes: usize, owner: T) -> Outcome<T> {
        let turn = self.turn();
        self.put(turn, Waiting { client, bytes, owner })
    }

    /// A body holds so many bytes now. `place` is `None` in the outcome also where it had to go before.
    pub(super) fn hold(&mut self, place: Place, bytes: usize) -> Outcome<T> {
        match self.remove(place) {
            Some(waiting) => self.put(place.turn, Waiting { bytes, ..waiting }),
            None => Outcome { place: None, gone: Vec::new() },
        }
    }

    /// A body made progress: it is the last to go. `None` where it had to go before.
    pub(super) fn progress(&mut self, place: Place) -> Option<Place> {
        let waiting = self.remove(place)?;
        let turn = self.turn();
        Some(self.insert(turn, waiting))
    }

    /// A body is no longer waited for. Nothing happens where it had to go before.
    pub(super) fn leave(&mut self, place: Place) {
        self.remove(place);
    }

    fn turn(&mut self) -> Turn {
        self.next += 1;
        self.next
    }

    /// Gives a body its room, if need be by pushing out others.
    fn put(&mut self, turn: Turn, waiting: Waiting<T>) -> Outcome<T> {
        let mut gone = Vec::new();
        if !self.could_fit(&waiting) {
            return Outcome { place: None, gone };
        }
        while let Some(among) = self.too_small(&waiting) {
            match self.least_progressed(among, waiting.client.known) {
                // Where it has itself waited longest, among those that it could push out, it goes.
                Some(place) if place.known == waiting.client.known && place.turn > turn => {
                    return Outcome { place: None, gone };
                }
                Some(place) => gone.extend(self.remove(place).map(|waiting| waiting.owner)),
                None => return Outcome { place: None, gone },
            }
        }
        Outcome { place: Some(self.insert(turn, waiting)), gone }
    }

    /// Whether it would fit once everybody was gone that it can push out. Nobody is pushed out in vain.
    fn could_fit(&self, waiting: &Waiting<T>) -> bool {
        let Client { known, address } = waiting.client;
        let at_address = address.and_then(|address| self.addresses.get(&address));
        let (kept, kept_at_address) =
            if known { (0, 0) } else { (self.known.bytes, at_address.map_or(0, |at| at.known_bytes)) };
        (known || waiting.bytes <= self.shares.unknown)
            && kept.saturating_add(waiting.bytes) <= self.shares.all
            && (address.is_none() || kept_at_address.saturating_add(waiting.bytes) <= self.shares.address)
    }

    /// Which bound it would pass, and so among whom room has to be made.
    fn too_small(&self, waiting: &Waiting<T>) -> Option<Among> {
        let Client { known, address } = waiting.client;
        let with = |held: usize| held.saturating_add(waiting.bytes);
        if let Some(address) = address {
            let held = self.addresses.get(&address).map_or(0, |at| at.unknown_bytes + at.known_bytes);
            if with(held) > self.shares.address {
                return Some(Among::Address(address));
            }
        }
        let over_unknown = !known && with(self.unknown.bytes) > self.shares.unknown;
        (over_unknown || with(self.unknown.bytes + self.known.bytes) > self.shares.all).then_some(Among::All)
    }

    fn least_progressed(&self, among: Among, also_known: bool) -> Option<Place> {
        let (unknown, known) = match among {
            Among::All => {
                let first = |class: &Class<T>| class.bodies.keys().next().copied();
                (first(&self.unknown), first(&self.known))
            }
            Among::Address(address) => {
                let at = self.addresses.get(&address)?;
                (at.unknown.first().copied(), at.known.first().copied())
            }
        };
        let of_unknown = unknown.map(|turn| Place { known: false, turn });
        of_unknown.or_else(|| known.filter(|_| also_known).map(|turn| Place { known: true, turn }))
    }

    fn insert(&mut self, turn: Turn, waiting: Waiting<T>) -> Place {
        let Client { known, address } = waiting.client;
        if let Some(address) = address {
            let at = self.addresses.entry(address).or_default();
            let (bytes, turns) = at.of(known);
            *bytes += waiting.bytes;
            turns.insert(turn);
        }
        let class = self.class(known);
        class.bytes += waiting.bytes;
        class.bodies.insert(turn, waiting);
        Place { known, turn }
    }

    fn remove(&mut self, place: Place) -> Option<Waiting<T>> {
        let class = self.class(place.known);
        let waiting = class.bodies.remove(&place.turn)?;
        class.bytes -= waiting.bytes;
        if let Some(address) = waiting.client.address
            && let Some(at) = self.addresses.get_mut(&address)
        {
            let (bytes, turns) = at.of(place.known);
            *bytes -= waiting.bytes;
            turns.remove(&place.turn);
            if at.unknown.is_empty() && at.known.is_empty() {
                self.addresses.remove(&address);
            }
        }
        Some(waiting)
    }

    fn class(&mut self, known: bool) -> &mut Class<T> {
        if known { &mut self.known } else { &mut self.unknown }
    }
}

impl AtAddress {
    fn of(&mut self, known: bool) -> (&mut usize, &mut BTreeSet<Turn>) {
        if known {
            (&mut self.known_bytes, &mut self.known)
        } else {
            (&mut self.unknown_bytes, &mut self.unknown)
        }
    }
}

#[cfg(test)]
mod tests;
