//! Bodies made beforehand, in which only the ids of the messages change.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::corpus::{self, Seeded};

const SEED: u64 = 41;
/// Calls in all bodies together: far more bytes than gzip looks back, so that bodies that come again compress no better.
const CALLS_MADE: usize = 8_192;
/// What follows the id of a message in the corpus.
const AFTER_ID: &str = r#"","integrations""#;
/// Hexadecimal digits of each id that are written anew for each request.
const DIGITS: usize = 12;
/// An odd number: multiplying by it (mod 2^48) gives each number another, so that ids look random and none comes twice.
const SPREAD: u64 = 0x9E37_79B9_7F4B;

#[derive(Debug)]
struct Template {
    body: Vec<u8>,
    ids: Vec<Range<usize>>,
}

/// Bodies of one number of calls.
#[derive(Debug)]
pub(crate) struct Bodies {
    calls_per_request: usize,
    templates: Vec<Template>,
    next_id: AtomicU64,
}

impl Bodies {
    /// Bodies of so many calls: one is a single call, more are an envelope.
    pub(crate) fn new(calls_per_request: usize) -> Self {
        let mut random = Seeded(SEED);
        let templates = (0..CALLS_MADE.div_ceil(calls_per_request))
            .map(|_| match calls_per_request {
                1 => template(corpus::call(&mut random)),
                calls => template(corpus::envelope(&mut random, calls)),
            })
            .inspect(|template| assert_eq!(template.ids.len(), calls_per_request, "each call has one id"))
            .collect();
        Self { calls_per_request, templates, next_id: AtomicU64::new(0) }
    }

    /// Where they are posted.
    pub(crate) fn path(&self) -> &'static str {
        if self.calls_per_request == 1 { "/v1/track" } else { "/v1/batch" }
    }

    /// Calls of a request.
    pub(crate) fn calls_per_request(&self) -> u64 {
        self.calls_per_request as u64
    }

    /// All bodies, as they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.templates.iter().map(|template| template.body.as_slice())
    }

    /// Appends the length of a body, the end of the head and a body with new ids to `out`.
    pub(super) fn append(&self, ticket: u64, out: &mut Vec<u8>) {
        let index = usize::try_from(ticket % self.templates.len() as u64).unwrap_or(0);
        let template = self.templates.get(index).expect("an index below the length");
        out.extend_from_slice(template.body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        let start = out.len();
        out.extend_from_slice(&template.body);
        let first = self.next_id.fetch_add(template.ids.len() as u64, Ordering::Relaxed);
        for (id, number) in template.ids.iter().zip(first..) {
            let place = out.get_mut(start + id.start..start + id.end).expect("an id inside the body");
            write_hex(number.wrapping_mul(SPREAD), place);
        }
    }
}

fn template(body: String) -> Template {
    let ids = body.match_indices(AFTER_ID).map(|(end, _)| end - DIGITS..end).collect();
    Template { body: body.into_bytes(), ids }
}

fn write_hex(number: u64, digits: &mut [u8]) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef".get(usize::try_from(rest & 0xF).unwrap_or(0)).copied().unwrap_or(b'0');
        rest >>= 4;
    }
}
