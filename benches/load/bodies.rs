//! Prepared bodies, in which only the message ids change.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::corpus::{self, Seeded};

/// The seed of the corpus.
pub(crate) const SEED: u64 = 41;
/// Calls in all bodies together: far more bytes than the window of gzip, so that repeated bodies do not
/// compress better.
const CALLS_MADE: usize = 8_192;
/// The text before a message id in the corpus.
const BEFORE_ID: &str = r#""messageId":""#;
/// Hexadecimal digits at the end of each id that are rewritten for each request.
const DIGITS: usize = 12;
/// An odd number: multiplying by it (mod 2^48) maps each number to a different one, so ids look random and
/// none repeats.
const SPREAD: u64 = 0x9E37_79B9_7F4B;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// One call.
    Single,
    /// Calls in the envelope of the tracking API.
    Envelope,
    /// A JSON array of calls, for collectors that know no envelope.
    Array,
}

impl Form {
    /// The usual form for so many calls.
    pub(crate) fn of(calls: usize) -> Self {
        if calls == 1 { Self::Single } else { Self::Envelope }
    }

    /// The path of the tracking API for this form.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Single => "/v1/track",
            Self::Envelope | Self::Array => "/v1/batch",
        }
    }
}

#[derive(Debug)]
struct Template {
    body: Vec<u8>,
    ids: Vec<Range<usize>>,
}

/// Bodies with a fixed number of calls.
#[derive(Debug)]
pub(crate) struct Bodies {
    calls_per_request: usize,
    templates: Vec<Template>,
    next_id: AtomicU64,
}

impl Bodies {
    /// Bodies of so many calls in their usual form.
    pub(crate) fn new(calls_per_request: usize) -> Self {
        Self::in_form(Form::of(calls_per_request), calls_per_request, 0)
    }

    /// Bodies of so many calls in their usual form, with ids counted from `first_id`.
    pub(crate) fn starting_at(calls_per_request: usize, first_id: u64) -> Self {
        Self::in_form(Form::of(calls_per_request), calls_per_request, first_id)
    }

    /// Bodies of a form; a single call stays single whatever `calls_per_request` says. Two runs against the
    /// same collector need different values of `first_id`; otherwise the second run sends repeats.
    pub(crate) fn in_form(form: Form, calls_per_request: usize, first_id: u64) -> Self {
        let calls_per_request = if form == Form::Single { 1 } else { calls_per_request };
        let mut random = Seeded(SEED);
        let templates = (0..CALLS_MADE.div_ceil(calls_per_request))
            .map(|_| match form {
                Form::Single => template(corpus::call(&mut random)),
                Form::Envelope => template(corpus::envelope(&mut random, calls_per_request)),
                Form::Array => template(corpus::array(&mut random, calls_per_request)),
            })
            .inspect(|template| assert_eq!(template.ids.len(), calls_per_request, "each call has one id"))
            .collect();
        Self { calls_per_request, templates, next_id: AtomicU64::new(first_id) }
    }

    /// Calls of a request.
    pub(crate) fn calls_per_request(&self) -> u64 {
        self.calls_per_request as u64
    }

    /// All bodies, as generated.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.templates.iter().map(|template| template.body.as_slice())
    }

    /// Appends the length of a body, the end of the head and a body with new ids to `out`.
    pub(super) fn append(&self, ticket: u64, out: &mut Vec<u8>) {
        let template = self.template(ticket);
        out.extend_from_slice(template.body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        let start = out.len();
        out.extend_from_slice(&template.body);
        let first = self.next_id.fetch_add(template.ids.len() as u64, Ordering::Relaxed);
        for (id, number) in template.ids.iter().zip(first..) {
            let digits = start + id.end - DIGITS..start + id.end;
            write_hex(number.wrapping_mul(SPREAD), out.get_mut(digits).expect("an id inside the body"));
        }
    }

    /// The ids in a request that [`Self::append`] finished.
    pub(super) fn ids<'r>(&'r self, ticket: u64, request: &'r [u8]) -> impl Iterator<Item = &'r [u8]> {
        let template = self.template(ticket);
        let body = request.get(request.len() - template.body.len()..).expect("a body at its end");
        template.ids.iter().map(move |id| body.get(id.clone()).expect("an id inside the body"))
    }

    /// Cycles through all bodies, starting each cycle at another one. Otherwise, because write keys cycle
    /// too, each key would always meet the same bodies.
    fn template(&self, ticket: u64) -> &Template {
        let templates = self.templates.len() as u64;
        let index = (ticket + ticket / templates) % templates;
        usize::try_from(index)
            .ok()
            .and_then(|index| self.templates.get(index))
            .expect("an index below the length")
    }
}

fn template(body: String) -> Template {
    let ids = body
        .match_indices(BEFORE_ID)
        .map(|(at, before)| {
            let start = at + before.len();
            let len = body.get(start..).and_then(|rest| rest.find('"')).expect("an id ends");
            start..start + len
        })
        .collect();
    Template { body: body.into_bytes(), ids }
}

fn write_hex(number: u64, digits: &mut [u8]) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get(usize::try_from(rest & 0xF).unwrap_or(0)).copied().unwrap_or(b'0');
        rest >>= 4;
    }
}
