//! How much memory the unfinished bodies of all requests may hold, and which body is pushed out when the
//! budget is used up.
//!
//! This module only decides: callers report what they hold, and it returns the bodies to push out.
//!
//! - A part is reserved for clients whose write key is known from the head. Other clients cannot use it, and
//!   never push known clients out.
//! - One address holds at most its share.
//! - If the budget is used up, the body that has made no progress for the longest time is pushed out. Bodies
//!   of unknown clients go first, regardless of their progress: a known client is pushed out only if no
//!   unknown client holds anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Bytes that unfinished bodies may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// All bodies together.
    pub(super) all: usize,
    /// All bodies of unknown clients together.
    pub(super) unknown: usize,
    /// All bodies of one address.
    pub(super) address: usize,
}

/// A client's address, as the budget distinguishes clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// One address.
    V4([u8; 4]),
    /// A /64 network: a client that has one of its addresses has all of them.
    V6([u8; 8]),
    /// A trusted proxy sent an unreadable address.
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

/// The client that sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Whether the client's write key is known from the head.
    pub(super) known: bool,
    /// The address whose share it uses; `None` if no share applies.
    pub(super) address: Option<Address>,
}

/// A body's permit to wait in the budget. It changes when the body makes progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BudgetPermit {
    known: bool,
    turn: Turn,
}

/// A number that grows each time any body makes progress: the body with the lowest turn has waited longest.
type Turn = u64;

/// The answer to a request for memory. Bodies that must go are already removed from the budget.
#[derive(Debug)]
#[must_use]
pub(super) struct Outcome<T> {
    /// The permit of the body; `None` if it must go itself.
    pub(super) permit: Option<BudgetPermit>,
    /// The other bodies that must go.
    pub(super) gone: Vec<T>,
}

/// The unfinished bodies. `T` is a handle to the owner of a body.
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

/// Which bodies can be pushed out.
#[derive(Clone, Copy)]
enum Among {
    All,
    Address(Address),
}

impl<T> Budget<T> {
    /// An unused budget.
    pub(super) fn new(shares: Shares) -> Self {
        let class = || Class { bytes: 0, bodies: BTreeMap::new() };
        Self { shares, next: 0, unknown: class(), known: class(), addresses: HashMap::new() }
    }

    /// A body of `client`, which holds `bytes` bytes, begins to wait.
    pub(super) fn enter(&mut self, client: Client, bytes: usize, owner: T) -> Outcome<T> {
        let turn = self.turn();
        self.put(turn, Waiting { client, bytes, owner })
    }

    /// A body now holds `bytes` bytes. `permit` in the outcome is also `None` if the body was already pushed
    /// out.
    pub(super) fn hold(&mut self, permit: BudgetPermit, bytes: usize) -> Outcome<T> {
        match self.remove(permit) {
            Some(waiting) => self.put(permit.turn, Waiting { bytes, ..waiting }),
            None => Outcome { permit: None, gone: Vec::new() },
        }
    }

    /// A body made progress, so it is now the last to be pushed out. `None` if it was already pushed out.
    pub(super) fn progress(&mut self, permit: BudgetPermit) -> Option<BudgetPermit> {
        let waiting = self.remove(permit)?;
        let turn = self.turn();
        Some(self.insert(turn, waiting))
    }

    /// A body no longer waits. Does nothing if it was already pushed out.
    pub(super) fn leave(&mut self, permit: BudgetPermit) {
        self.remove(permit);
    }

    fn turn(&mut self) -> Turn {
        self.next += 1;
        self.next
    }

    /// Reserves memory for a body, by pushing out others if needed.
    fn put(&mut self, turn: Turn, waiting: Waiting<T>) -> Outcome<T> {
        let mut gone = Vec::new();
        if !self.could_fit(&waiting) {
            return Outcome { permit: None, gone };
        }
        while let Some(among) = self.too_small(&waiting) {
            match self.least_progressed(among, waiting.client.known) {
                // The body itself goes if it has waited longer than those that it could push out.
                Some(permit) if permit.known == waiting.client.known && permit.turn > turn => {
                    return Outcome { permit: None, gone };
                }
                Some(permit) => gone.extend(self.remove(permit).map(|waiting| waiting.owner)),
                None => return Outcome { permit: None, gone },
            }
        }
        Outcome { permit: Some(self.insert(turn, waiting)), gone }
    }

    /// Whether the body would fit after pushing out every body that it may. Checked first, so that no body is
    /// pushed out in vain.
    fn could_fit(&self, waiting: &Waiting<T>) -> bool {
        let Client { known, address } = waiting.client;
        let at_address = address.and_then(|address| self.addresses.get(&address));
        let (kept, kept_at_address) =
            if known { (0, 0) } else { (self.known.bytes, at_address.map_or(0, |at| at.known_bytes)) };
        (known || waiting.bytes <= self.shares.unknown)
            && kept.saturating_add(waiting.bytes) <= self.shares.all
            && (address.is_none() || kept_at_address.saturating_add(waiting.bytes) <= self.shares.address)
    }

    /// The bodies that can make way for this one, if it would exceed a bound. `None` if it fits.
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

    fn least_progressed(&self, among: Among, also_known: bool) -> Option<BudgetPermit> {
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
        let of_unknown = unknown.map(|turn| BudgetPermit { known: false, turn });
        of_unknown.or_else(|| known.filter(|_| also_known).map(|turn| BudgetPermit { known: true, turn }))
    }

    fn insert(&mut self, turn: Turn, waiting: Waiting<T>) -> BudgetPermit {
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
        BudgetPermit { known, turn }
    }

    fn remove(&mut self, permit: BudgetPermit) -> Option<Waiting<T>> {
        let class = self.class(permit.known);
        let waiting = class.bodies.remove(&permit.turn)?;
        class.bytes -= waiting.bytes;
        if let Some(address) = waiting.client.address
            && let Some(at) = self.addresses.get_mut(&address)
        {
            let (bytes, turns) = at.of(permit.known);
            *bytes -= waiting.bytes;
            turns.remove(&permit.turn);
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
