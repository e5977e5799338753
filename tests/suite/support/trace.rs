//! What happened, in order, as one number: two runs that did the same have the same, and two that did not do not.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use siphasher::sip::SipHasher13;

/// What happened. Clones are the same trace.
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
    /// A trace that also tells everything on standard error.
    pub(crate) fn told() -> Self {
        Self(Arc::new(Mutex::new(Happened { told: true, ..Happened::default() })))
    }

    /// A trace that keeps everything, so that two can be held against each other.
    pub(crate) fn kept() -> Self {
        Self(Arc::new(Mutex::new(Happened { kept: Some(Vec::new()), ..Happened::default() })))
    }

    /// Where two traces that were kept part: what happened in this one, and what in the other.
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

    /// Something happened.
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

    /// Something happened with these bytes.
    pub(crate) fn note_bytes(&self, what: &str, to: &str, at: u64, bytes: &[u8]) {
        self.note(what, to, &[at, bytes.len() as u64, u64::from(crc32fast::hash(bytes))]);
        if self.lock().told && to.starts_with("MANIFEST") {
            eprintln!("    {}", String::from_utf8_lossy(bytes.get(8..).unwrap_or(&[])));
        }
    }

    /// Something came up that a simulation must reach often enough.
    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// How often each thing came up.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    /// Everything until now, as one number.
    pub(crate) fn hash(&self) -> u64 {
        self.lock().hash.finish()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash())
    }
}
