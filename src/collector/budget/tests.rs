use proptest::prelude::*;

use super::*;

const SHARES: Shares = Shares { all: 100, unknown: 50, address: 30 };

fn client(known: bool, address: Option<u8>) -> Client {
    Client { known, address: address.map(|last| Address::V4([192, 0, 2, last])) }
}

fn budget() -> Budget<&'static str> {
    Budget::new(SHARES)
}

/// Enters a body that must get a place; returns which bodies go for it.
fn enter(
    budget: &mut Budget<&'static str>,
    known: bool,
    address: Option<u8>,
    bytes: usize,
    name: &'static str,
) -> (BudgetPermit, Vec<&'static str>) {
    let outcome = budget.enter(client(known, address), bytes, name);
    (outcome.permit.unwrap_or_else(|| panic!("{name} has no place")), outcome.gone)
}

fn held(budget: &Budget<&'static str>) -> (usize, usize) {
    (budget.known.bytes, budget.unknown.bytes)
}

#[test]
fn half_is_reserved_for_known_clients() {
    let mut budget = budget();
    let (stalled, _) = enter(&mut budget, false, None, 30, "stalled");
    let (_, gone) = enter(&mut budget, false, None, 20, "second");
    assert_eq!(gone, [""; 0]);
    let (_, gone) = enter(&mut budget, false, None, 10, "third");
    assert_eq!(gone, ["stalled"], "the rest is reserved for known clients");
    assert_eq!(budget.progress(stalled), None, "it was pushed out");
    let (_, gone) = enter(&mut budget, true, None, 50, "known");
    assert_eq!(gone, [""; 0]);
    assert_eq!(held(&budget), (50, 30));
}

#[test]
fn known_clients_push_out_unknown_ones_but_never_the_reverse() {
    let mut budget = budget();
    let (known, _) = enter(&mut budget, true, None, 60, "known");
    let (_, _) = enter(&mut budget, false, None, 40, "unknown");
    let outcome = budget.enter(client(false, None), 41, "too large beside the known one");
    assert!(outcome.permit.is_none() && outcome.gone.is_empty(), "no body is pushed out in vain");
    let (_, gone) = enter(&mut budget, true, None, 10, "also known");
    assert_eq!(gone, ["unknown"]);
    let (_, gone) = enter(&mut budget, true, None, 40, "too many of them");
    assert_eq!(gone, ["known"], "among known clients the least progressed goes");
    assert_eq!(budget.progress(known), None);
}

#[test]
fn the_body_with_the_least_progress_goes_first() {
    let mut budget = budget();
    let (first, _) = enter(&mut budget, false, None, 20, "first");
    let (second, _) = enter(&mut budget, false, None, 20, "second");
    let first = budget.progress(first).unwrap();
    let (_, gone) = enter(&mut budget, false, None, 20, "third");
    assert_eq!(gone, ["second"]);
    assert!(budget.hold(second, 1).permit.is_none(), "it was pushed out");
    let outcome = budget.hold(first, 40);
    assert!(
        outcome.permit.is_none() && outcome.gone.is_empty(),
        "it asks for more and has waited longest: {outcome:?}"
    );
    let (fourth, _) = enter(&mut budget, false, None, 10, "fourth");
    let outcome = budget.hold(fourth, 40);
    assert_eq!((outcome.permit, outcome.gone), (Some(fourth), vec!["third"]));
    budget.leave(fourth);
    budget.leave(fourth);
    assert_eq!(held(&budget), (0, 0));
    assert!(budget.addresses.is_empty());
}

#[test]
fn an_address_holds_its_share_and_pushes_out_only_its_own_bodies() {
    let mut budget = budget();
    enter(&mut budget, false, Some(1), 15, "one");
    enter(&mut budget, false, Some(2), 15, "of another address");
    let (_, gone) = enter(&mut budget, false, Some(1), 16, "two");
    assert_eq!(gone, ["one"]);
    let (_, gone) = enter(&mut budget, true, Some(1), 30, "known");
    assert_eq!(gone, ["two"]);
    let outcome = budget.enter(client(false, Some(1)), 1, "three");
    assert!(outcome.permit.is_none() && outcome.gone.is_empty());
    let (_, gone) = enter(&mut budget, true, Some(1), 10, "also known");
    assert_eq!(gone, ["known"]);
    let (_, gone) = enter(&mut budget, false, None, 31, "without a share");
    assert_eq!(gone, [""; 0]);
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let check = |left: &str, right: &str, same: bool| {
        let of = |text: &str| Address::from(Some(text.parse().unwrap()));
        assert_eq!(of(left) == of(right), same, "{left} {right}");
    };
    check("192.0.2.1", "192.0.2.1", true);
    check("192.0.2.1", "192.0.2.2", false);
    check("192.0.2.1", "::ffff:192.0.2.1", true);
    check("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true);
    check("2001:db8::1", "2001:db8:0:1::1", false);
    assert_ne!(Address::from(None), Address::from(Some("0.0.0.0".parse().unwrap())));
}

#[derive(Clone, Debug)]
enum Event {
    Enter { known: bool, address: Option<u8>, bytes: usize },
    Hold { which: usize, bytes: usize },
    Progress { which: usize },
    Leave { which: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (any::<bool>(), proptest::option::of(0..4_u8), 0..45_usize)
            .prop_map(|(known, address, bytes)| Event::Enter { known, address, bytes }),
        2 => (any::<usize>(), 0..60_usize).prop_map(|(which, bytes)| Event::Hold { which, bytes }),
        2 => any::<usize>().prop_map(|which| Event::Progress { which }),
        1 => any::<usize>().prop_map(|which| Event::Leave { which }),
    ];
    proptest::collection::vec(event, 0..80)
}

/// A body as its owner sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: usize,
    client: Client,
    bytes: usize,
    permit: BudgetPermit,
}

/// Checks the outcome of a request of `asking`. `before`: the other bodies at that time.
fn check_outcome(before: &[Seen], asking: Client, turn: Turn, wants: usize, outcome: &Outcome<usize>) {
    let gone = |seen: &&Seen| outcome.gone.contains(&seen.id);
    let at = |seen: &&Seen| seen.client.address.is_some() && seen.client.address == asking.address;
    for seen in before.iter().filter(gone) {
        assert!(asking.known || !seen.client.known, "{asking:?} pushed out {seen:?}");
        // A body of the same class with less progress stays only if pushing it out would not help, because it
        // is of another address.
        let worse = |other: &&Seen| {
            !outcome.gone.contains(&other.id)
                && other.client.known == seen.client.known
                && other.permit.turn < seen.permit.turn
        };
        let not_helping = |other: &Seen| at(&seen) && !at(&other);
        assert!(before.iter().filter(worse).all(not_helping), "{seen:?} was pushed out before its turn");
        assert!(
            seen.client.known != asking.known || seen.permit.turn < turn,
            "{seen:?} was pushed out for a body with less progress"
        );
    }
    if outcome.permit.is_none() {
        // It is refused only if it does not fit beside the bodies that it cannot push out.
        let sum =
            |of: &dyn Fn(&&Seen) -> bool| before.iter().filter(of).map(|seen| seen.bytes).sum::<usize>();
        let stays = |seen: &&Seen| {
            (seen.client.known && !asking.known)
                || (seen.client.known == asking.known && seen.permit.turn > turn)
        };
        let unknown = |seen: &&Seen| !seen.client.known;
        let over_all = sum(&stays) + wants > SHARES.all;
        let over_unknown =
            !asking.known && sum(&|seen| stays(seen) && unknown(seen)) + wants > SHARES.unknown;
        let over_address =
            asking.address.is_some() && sum(&|seen| stays(seen) && at(seen)) + wants > SHARES.address;
        assert!(over_all || over_unknown || over_address, "{asking:?} was refused needlessly");
    }
}

fn check_budget(budget: &Budget<usize>, seen: &[Seen]) {
    let sum = |of: &dyn Fn(&&Seen) -> bool| seen.iter().filter(of).map(|seen| seen.bytes).sum::<usize>();
    assert_eq!(budget.known.bytes, sum(&|seen| seen.client.known));
    assert_eq!(budget.unknown.bytes, sum(&|seen| !seen.client.known));
    assert!(budget.known.bytes + budget.unknown.bytes <= SHARES.all);
    assert!(budget.unknown.bytes <= SHARES.unknown);
    for (address, at) in &budget.addresses {
        let held = sum(&|seen| seen.client.address == Some(*address));
        assert_eq!(at.known_bytes + at.unknown_bytes, held);
        assert!(held <= SHARES.address);
        assert!(!at.known.is_empty() || !at.unknown.is_empty(), "an address without a body must be removed");
    }
    assert_eq!(budget.known.bodies.len() + budget.unknown.bodies.len(), seen.len());
}

proptest! {
    #[test]
    fn bounds_hold_and_the_least_progressed_body_goes(events in events()) {
        let mut budget: Budget<usize> = Budget::new(SHARES);
        let mut seen: Vec<Seen> = Vec::new();
        for (id, event) in events.into_iter().enumerate() {
            let pick = |which: usize, seen: &[Seen]| (!seen.is_empty()).then(|| which % seen.len());
            match event {
                Event::Enter { known, address, bytes } => {
                    let client = client(known, address);
                    let outcome = budget.enter(client, bytes, id);
                    check_outcome(&seen, client, Turn::MAX, bytes, &outcome);
                    seen.retain(|seen| !outcome.gone.contains(&seen.id));
                    seen.extend(outcome.permit.map(|permit| Seen { id, client, bytes, permit }));
                }
                Event::Hold { which, bytes } => {
                    let Some(at) = pick(which, &seen) else { continue };
                    let asking = seen.remove(at);
                    let outcome = budget.hold(asking.permit, bytes);
                    check_outcome(&seen, asking.client, asking.permit.turn, bytes, &outcome);
                    seen.retain(|seen| !outcome.gone.contains(&seen.id));
                    seen.extend(outcome.permit.map(|permit| Seen { bytes, permit, ..asking }));
                }
                Event::Progress { which } => {
                    let Some(at) = pick(which, &seen) else { continue };
                    let moved = budget.progress(seen[at].permit);
                    seen[at].permit = moved.expect("a body that has a place");
                }
                Event::Leave { which } => {
                    let Some(at) = pick(which, &seen) else { continue };
                    budget.leave(seen.remove(at).permit);
                }
            }
            check_budget(&budget, &seen);
        }
    }
}
