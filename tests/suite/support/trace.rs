//! A trace of events, in order, reduced to one number: runs that did the same have the same number, others do
//! not.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siphasher::sip::SipHasher13;

/// The events so far. Clones are the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Happened>>);

#[derive(Default)]
struct Happened {
    hash: SipHasher13,
    told: bool,
    kept: Option<Vec<String>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// A trace that also prints every event on standard error.
    pub(crate) fn told() -> Self {
        Self(Arc::new(Mutex::new(Happened { told: true, ..Happened::default() })))
    }

    /// A trace that keeps every event, so that two traces can be compared.
    pub(crate) fn kept() -> Self {
        Self(Arc::new(Mutex::new(Happened { kept: Some(Vec::new()), ..Happened::default() })))
    }

    /// The first difference between two kept traces: the event of this one, and that of the other.
    pub(crate) fn parts_from(&self, other: &Self) -> Option<(String, String)> {
        let (ours, theirs) = (self.lock().kept.clone()?, other.lock().kept.clone()?);
        let len = ours.len().max(theirs.len());
        let event = |events: &[String], at: usize| events.get(at).cloned().unwrap_or_default();
        let at = (0..len).find(|at| ours.get(*at) != theirs.get(*at))?;
        Some((event(&ours, at), event(&theirs, at)))
    }

    fn lock(&self) -> MutexGuard<'_, Happened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event.
    pub(crate) fn note(&self, what: &str, to: &str, numbers: &[u64]) {
        let mut happened = self.lock();
        if happened.told {
            eprintln!("{what} {to} {numbers:?}");
        }
        if let Some(kept) = &mut happened.kept {
            kept.push(format!("{what} {to} {numbers:?}"));
        }
        for text in [what, to] {
            happened.hash.write(text.as_bytes());
            happened.hash.write_u8(0xFF);
        }
        numbers.iter().for_each(|number| happened.hash.write_u64(*number));
    }

    /// Notes an event that involves these bytes.
    pub(crate) fn note_bytes(&self, what: &str, to: &str, at: u64, bytes: &[u8]) {
        self.note(what, to, &[at, bytes.len() as u64, u64::from(crc32fast::hash(bytes))]);
        if self.lock().told && to.starts_with("MANIFEST") {
            eprintln!("    {}", String::from_utf8_lossy(bytes.get(8..).unwrap_or(&[])));
        }
    }

    /// Counts something that a simulation must reach often enough.
    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// How often each of these occurred.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// All events so far as one number.
    pub(crate) fn hash(&self) -> u64 {
        self.lock().hash.finish()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash())
    }
}
