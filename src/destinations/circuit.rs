//! Whether a function can be used now: after a failure that concerns every call, one call at a time finds out. Pure.

use std::time::Duration;

use super::class::Class;

/// How long a circuit stays open before a call probes it.
pub const PROBE_AFTER: Duration = Duration::from_secs(30);

/// The circuit of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    /// Calls are sent.
    #[default]
    Closed,
    /// Calls wait.
    Open {
        /// The failure that opened it.
        class: Class,
        /// When it opened.
        since: Duration,
        /// When a call may find out whether the failure is over.
        probe_at: Duration,
    },
    /// One call is on its way to find out.
    Probing {
        /// The failure that opened it.
        class: Class,
        /// When it opened.
        since: Duration,
    },
}

/// Whether a call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Yes. If the circuit was open, this call finds out whether the failure is over.
    Send,
    /// Not before this time.
    NotBefore(Duration),
    /// Not before the call that finds out has come back.
    Wait,
}

impl Circuit {
    /// Whether a failure of this class concerns every call of the function.
    pub fn opens_for(class: Class) -> bool {
        matches!(class, Class::AccessDenied | Class::InvalidCredentials | Class::NotFound | Class::Redirected)
    }

    /// Asks to send a call.
    pub fn ask(&mut self, now: Duration) -> Leave {
        match *self {
            Self::Closed => Leave::Send,
            Self::Open { probe_at, .. } if now < probe_at => Leave::NotBefore(probe_at),
            Self::Open { class, since, .. } => {
                *self = Self::Probing { class, since };
                Leave::Send
            }
            Self::Probing { .. } => Leave::Wait,
        }
    }

    /// A call was not refused for a reason that concerns every call. That alone shows that the function can be used: it may
    /// have failed by itself.
    pub fn passed(&mut self) {
        *self = Self::Closed;
    }

    /// A call came back without an answer that says anything, or was not sent after all.
    pub fn learned_nothing(&mut self, now: Duration) {
        if let Self::Probing { class, since } = *self {
            *self = Self::Open { class, since, probe_at: now.saturating_add(PROBE_AFTER) };
        }
    }

    /// A call failed for a reason that concerns every call.
    pub fn refused(&mut self, class: Class, now: Duration) {
        let since = match *self {
            Self::Closed => now,
            Self::Open { since, .. } | Self::Probing { since, .. } => since,
        };
        *self = Self::Open { class, since, probe_at: now.saturating_add(PROBE_AFTER) };
    }

    /// Why it is open, and since when.
    pub fn open(&self) -> Option<(Class, Duration)> {
        match *self {
            Self::Closed => None,
            Self::Open { class, since, .. } | Self::Probing { class, since } => Some((class, since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_call_at_a_time_finds_out_whether_the_failure_is_over() {
        let mut circuit = Circuit::default();
        assert_eq!(circuit.ask(at(0)), Leave::Send);
        circuit.refused(Class::AccessDenied, at(10));
        assert_eq!(circuit.ask(at(11)), Leave::NotBefore(at(40)));
        assert_eq!(circuit.ask(at(40)), Leave::Send);
        assert_eq!(circuit.ask(at(41)), Leave::Wait);
        circuit.refused(Class::NotFound, at(42));
        assert_eq!(circuit.open(), Some((Class::NotFound, at(10))), "open since the first failure");
        assert_eq!(circuit.ask(at(72)), Leave::Send);
        circuit.passed();
        assert_eq!((circuit.ask(at(72)), circuit.open()), (Leave::Send, None));
    }

    #[test]
    fn a_call_that_says_nothing_leaves_the_circuit_open() {
        let mut circuit = Circuit::default();
        circuit.learned_nothing(at(1));
        assert_eq!(circuit, Circuit::Closed);
        circuit.refused(Class::InvalidCredentials, at(1));
        assert_eq!(circuit.ask(at(31)), Leave::Send);
        circuit.learned_nothing(at(36));
        assert_eq!(circuit.ask(at(37)), Leave::NotBefore(at(66)));
    }
}
