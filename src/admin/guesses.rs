//! Bounds how fast one address can guess tokens. Pure: the time is passed in.
//!
//! Each address has its own limit, so that a guesser shuts out only those who share the address. A request
//! with the cookie of a session is never delayed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Wrong tokens that one address may send at once.
pub(super) const GUESSES_AT_ONCE: u32 = 10;
/// The time after which the address may send another one.
pub(super) const GUESS_EVERY: Duration = Duration::from_millis(100);
/// Addresses with a limit of their own. All further addresses share one limit.
pub(super) const GUESSERS_MAX: usize = 1_024;

/// Wrong tokens of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// When the guesses of each address are forgotten: [`GUESS_EVERY`] for each guess.
    forgotten: BTreeMap<IpAddr, Duration>,
    /// When the guesses of the addresses without a limit of their own are forgotten.
    others: Duration,
}

impl Guesses {
    /// Counts a wrong token.
    pub(super) fn wrong(&mut self, peer: IpAddr, now: Duration) {
        let peer = network(peer);
        if self.forgotten.len() >= GUESSERS_MAX {
            self.forgotten.retain(|_, until| *until > now);
        }
        let place = self.forgotten.len() < GUESSERS_MAX || self.forgotten.contains_key(&peer);
        let until = if place { self.forgotten.entry(peer).or_default() } else { &mut self.others };
        *until = (*until).max(now) + GUESS_EVERY;
    }

    /// How long this address must wait before its next token is looked at; zero if it need not.
    pub(super) fn wait(&self, peer: IpAddr, now: Duration) -> Duration {
        let full = self.forgotten.len() >= GUESSERS_MAX;
        let others = if full { self.others } else { Duration::ZERO };
        let until = self.forgotten.get(&network(peer)).copied().unwrap_or(others);
        until.saturating_sub(now + GUESS_EVERY * (GUESSES_AT_ONCE - 1))
    }
}

/// The address itself; for IPv6, the network that one subscriber has.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_ten_guesses_and_then_ten_a_second() {
        let (mut guesses, peer, start) = (Guesses::default(), ip("192.0.2.1"), Duration::from_secs(7));
        for _ in 0..GUESSES_AT_ONCE {
            assert_eq!(guesses.wait(peer, start), Duration::ZERO);
            guesses.wrong(peer, start);
        }
        assert_eq!(guesses.wait(peer, start), GUESS_EVERY);
        assert_eq!(guesses.wait(ip("192.0.2.2"), start), Duration::ZERO);
        let mut tried = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            if guesses.wait(peer, now).is_zero() {
                guesses.wrong(peer, now);
                tried += 1;
            }
        }
        assert_eq!(tried, 99, "in ten seconds");
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser() {
        let (mut guesses, now) = (Guesses::default(), Duration::ZERO);
        for n in 0..GUESSES_AT_ONCE {
            guesses.wrong(ip(&format!("2001:db8::{n}")), now);
        }
        assert!(!guesses.wait(ip("2001:db8::ffff:1"), now).is_zero());
        assert!(guesses.wait(ip("2001:db8:0:1::1"), now).is_zero());
        for _ in 0..GUESSES_AT_ONCE {
            guesses.wrong(ip("::ffff:192.0.2.1"), now);
        }
        assert!(!guesses.wait(ip("192.0.2.1"), now).is_zero());
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_share_a_limit() {
        let (mut guesses, now) = (Guesses::default(), Duration::ZERO);
        let peer = |n: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
        for n in 0..GUESSERS_MAX + GUESSES_AT_ONCE as usize {
            assert!(guesses.wait(peer(n), now).is_zero(), "{n}");
            guesses.wrong(peer(n), now);
        }
        assert_eq!(guesses.forgotten.len(), GUESSERS_MAX);
        assert!(!guesses.wait(peer(5_000), now).is_zero());
        assert!(guesses.wait(peer(0), now).is_zero(), "it has a limit of its own");
        // Once the others have been quiet, there is room again.
        let later = Duration::from_secs(2);
        guesses.wrong(peer(5_000), later);
        assert_eq!(guesses.forgotten.len(), 1);
    }
}
