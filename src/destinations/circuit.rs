//! Whether a function can be used now: after failures that concern every call, one call at a time finds out,
//! each time another. Pure.

use std::time::Duration;

use super::class::Class;
use crate::random::Random;
use crate::retry::Backoff;
use crate::sources::SourceId;

/// How long a stopped circuit waits before a call probes it: 1 s, doubling, at most half a minute.
pub const PROBES: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };
/// How long a stopped circuit waits in an outage, which nobody here can end: at most 5 min.
pub const PROBES_OF_OUTAGE: Backoff =
    Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(300) };

/// What a failure concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A call, by its position.
    Call(u64),
    /// Every call of a source.
    Source(SourceId),
}

/// The circuit of one function, or of one source of it. After one failure calls go one at a time; after
/// enough of them, of different calls without any success, it is stopped, and a call probes it now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    class: Class,
    since: Duration,
    /// Whose failures opened it, while they are too few to stop it.
    whose: Vec<Whose>,
    /// Probes that have failed since it was stopped.
    probes: u32,
    /// No call is sent before this time.
    probe_at: Duration,
    /// Whether a probe is under way.
    is_probing: bool,
}

/// Whether a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The call may be sent. If the circuit was open, this call finds out whether the failure is over.
    Send,
    /// No call may be sent before this time.
    NotBefore(Duration),
    /// No call may be sent until the probe has come back.
    Wait,
}

impl Circuit {
    /// Whether a failure of this class refuses calls for a reason that a person must end.
    pub fn is_refusal(class: Class) -> bool {
        matches!(class, Class::AccessDenied | Class::InvalidCredentials | Class::NotFound | Class::Redirected)
    }

    /// Whether a failure of this class may pass by itself.
    pub fn is_outage(class: Class) -> bool {
        matches!(class, Class::Unavailable | Class::Network | Class::Unanswered)
    }

    /// Asks to send a call.
    pub fn ask(&mut self, now: Duration) -> Leave {
        match &mut self.open {
            None => Leave::Send,
            Some(open) if open.is_probing => Leave::Wait,
            Some(open) if now < open.probe_at => Leave::NotBefore(open.probe_at),
            Some(open) => {
                open.is_probing = true;
                Leave::Send
            }
        }
    }

    /// A call did not fail for a reason that concerns every call. That alone shows that the function can be
    /// used: it may have failed by itself.
    pub fn passed(&mut self) {
        self.open = None;
    }

    /// A call came back without an answer that says anything, or was not sent after all.
    pub fn learned_nothing(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_probing = false;
        }
    }

    /// A call failed for a reason that may concern every call. `stops`: after failures of so many calls it is
    /// stopped.
    pub fn failed(
        &mut self,
        (class, whose): (Class, Whose),
        stops: usize,
        now: Duration,
        random: &dyn Random,
    ) {
        let open = self.open.get_or_insert_with(|| Open {
            class,
            since: now,
            whose: Vec::new(),
            probes: 0,
            probe_at: now,
            is_probing: false,
        });
        open.class = class;
        let probed = std::mem::take(&mut open.is_probing);
        if open.probes == 0 && !open.whose.contains(&whose) {
            open.whose.push(whose);
        }
        // Calls that were under way when the circuit was stopped say nothing new.
        if open.whose.len() >= stops && (probed || open.probes == 0) {
            open.probes = open.probes.saturating_add(1);
            let backoff = if Self::is_outage(class) { PROBES_OF_OUTAGE } else { PROBES };
            open.probe_at = now.saturating_add(backoff.wait(open.probes, random));
        }
    }

    /// Delays the next probe until a time.
    pub fn not_before(&mut self, at: Duration) {
        if let Some(open) = &mut self.open {
            open.probe_at = open.probe_at.max(at);
        }
    }

    /// When the next call may probe it, unless one is under way.
    pub fn probe_at(&self) -> Option<Duration> {
        self.open.as_ref().filter(|open| !open.is_probing).map(|open| open.probe_at)
    }

    /// Whether calls go as they come.
    pub fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Why the circuit is stopped, and since when.
    pub fn stopped(&self) -> Option<(Class, Duration)> {
        self.open.as_ref().filter(|open| open.probes > 0).map(|open| (open.class, open.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Longest;
    impl Random for Longest {
        fn next_u64(&self) -> u64 {
            u64::MAX
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn fail(circuit: &mut Circuit, class: Class, position: u64, stops: usize, now: Duration) {
        circuit.failed((class, Whose::Call(position)), stops, now, &Longest);
    }

    #[test]
    fn one_call_at_a_time_finds_out_whether_the_failure_is_over() {
        let mut circuit = Circuit::default();
        assert_eq!(circuit.ask(at(0)), Leave::Send);
        fail(&mut circuit, Class::AccessDenied, 1, 1, at(10));
        let Leave::NotBefore(first) = circuit.ask(at(11)) else { panic!("{circuit:?}") };
        assert!((at(510)..=at(1_010)).contains(&first), "{first:?}");
        assert_eq!((circuit.ask(first), circuit.ask(first)), (Leave::Send, Leave::Wait));
        fail(&mut circuit, Class::NotFound, 2, 1, first);
        assert_eq!(circuit.stopped(), Some((Class::NotFound, at(10))), "since the first failure");
        let mut now = first;
        for _ in 0..20 {
            let Leave::NotBefore(next) = circuit.ask(now) else { panic!("{circuit:?}") };
            assert!(next - now <= PROBES.cap);
            now = next;
            assert_eq!(circuit.ask(now), Leave::Send);
            fail(&mut circuit, Class::NotFound, 2, 1, now);
            // Another call that was under way says nothing new.
            let probe_at = circuit.probe_at();
            fail(&mut circuit, Class::NotFound, 3, 1, now);
            assert_eq!(circuit.probe_at(), probe_at);
        }
        assert!(circuit.probe_at().unwrap() - now >= PROBES.cap / 2);
        circuit.passed();
        assert_eq!((circuit.ask(now), circuit.stopped()), (Leave::Send, None));
    }

    #[test]
    fn one_call_alone_stops_nothing_if_failures_of_several_are_needed() {
        let mut circuit = Circuit::default();
        for _ in 0..9 {
            fail(&mut circuit, Class::NotFound, 1, 3, at(1));
        }
        assert_eq!((circuit.ask(at(1)), circuit.stopped()), (Leave::Send, None));
        fail(&mut circuit, Class::NotFound, 2, 3, at(1));
        assert_eq!(circuit.ask(at(1)), Leave::Send);
        fail(&mut circuit, Class::NotFound, 3, 3, at(1));
        assert!(matches!(circuit.ask(at(1)), Leave::NotBefore(_)), "{circuit:?}");
        assert_eq!(circuit.stopped(), Some((Class::NotFound, at(1))));
    }

    #[test]
    fn a_call_that_says_nothing_leaves_the_circuit_open() {
        let mut circuit = Circuit::default();
        circuit.learned_nothing();
        assert!(circuit.is_closed());
        fail(&mut circuit, Class::InvalidCredentials, 1, 1, at(1));
        let probe = circuit.probe_at().unwrap();
        assert_eq!(circuit.ask(probe), Leave::Send);
        circuit.learned_nothing();
        assert_eq!((circuit.ask(probe), circuit.is_closed()), (Leave::Send, false));
    }
}
