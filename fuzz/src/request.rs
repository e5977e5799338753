//! Turns a request's body into lines as the collector does, with settings chosen by the input.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use forebay::call::{
    BodyError, CallKind, ClientLibraries, Fingerprinter, Limits, Request, Shape, Stamp, Tally, Validation,
};
use forebay::log::RequestFrames;
use forebay::log::frame::{self, Frame, Salt};
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

/// When every request is received: 2026-11-20T06:30:00.123Z.
pub const RECEIVED: UnixMillis = UnixMillis(1_795_156_200_123);
/// [`RECEIVED`] in the form of lines.
pub const RECEIVED_TEXT: &str = "2026-11-20T06:30:00.123Z";
/// The client's address, if there is one.
pub const IP: &str = "192.0.2.7";
/// The user agent of pixels.
pub const USER_AGENT: &str = "agent \"quoted\"";

static SOURCE: LazyLock<SourceId> = LazyLock::new(|| SourceId::new("src").unwrap());
static FINGERPRINTER: LazyLock<Fingerprinter> = LazyLock::new(|| Fingerprinter::new([3; 16]));

/// Always the same number.
#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        0x0123_4567_89AB_CDEF
    }
}

/// How a request is processed: what its route, its client and the configuration determine.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The kind that the route gives; `None` for a batch route.
    pub kind: Option<CallKind>,
    /// Whether the route is one of client-side libraries.
    pub client_side: bool,
    /// Whether the client's address is known.
    pub ip: bool,
    /// Whether there is a user agent to fill in.
    pub user_agent: bool,
    /// The limits.
    pub limits: Limits,
}

impl Way {
    /// The way for a byte.
    pub fn of(byte: u8) -> Self {
        let kinds = [
            CallKind::Track,
            CallKind::Identify,
            CallKind::Page,
            CallKind::Screen,
            CallKind::Group,
            CallKind::Alias,
        ];
        let bit = |number: u8| byte & (1 << number) != 0;
        let validation = if bit(6) { Validation::Strict } else { Validation::Permissive };
        let limits = match bit(7) {
            true => Limits { max_event: 200, max_calls: 3, max_depth: 8, validation },
            false => Limits { validation, ..Limits::default() },
        };
        let kind = kinds.get(usize::from(byte & 7)).copied();
        Self { kind, client_side: bit(3), ip: bit(4), user_agent: bit(5), limits }
    }

    /// Parses a body.
    pub fn parse(self, body: &[u8]) -> Result<Request<'_>, BodyError> {
        Request::parse(body, self.kind.map_or(Shape::Envelope, Shape::Single), &self.limits)
    }

    /// Writes a request's lines into frames, optionally with their positions.
    pub fn frames(self, request: &Request<'_>, say_positions: bool) -> (RequestFrames, Tally) {
        let stamp = Stamp {
            received_at: RECEIVED,
            source: &SOURCE,
            ip: self.ip.then_some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
            client_side: self.client_side,
            user_agent: self.user_agent.then_some(USER_AGENT),
            client_libraries: ClientLibraries::usual(),
            fingerprinter: &FINGERPRINTER,
        };
        let mut frames = RequestFrames::new(SOURCE.clone(), RECEIVED, request.lines_len());
        frames.say_positions(say_positions);
        let tally = request.write_lines(&stamp, &Fixed, &mut frames);
        (frames, tally)
    }
}

/// The frames of a request as the spool stores them, with positions from `first` on.
pub fn stamped(frames: &RequestFrames, first: u64) -> Vec<u8> {
    let (mut bytes, mut at, mut position) = (frames.bytes().to_vec(), 0, first);
    while let Some(len) = bytes.get(at..).and_then(frame::length) {
        frame::stamp(&mut bytes[at..at + len], position, Salt::new(&[0; 16], 1));
        (at, position) = (at + len, position + 1);
    }
    bytes
}

/// The frames of a request, parsed from their bytes.
pub fn read_back(frames: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = frame::length(rest).expect("a frame's length can be read back");
        let (first, after) = rest.split_at(len);
        rest = after;
        Some(frame::fields(first).expect("a frame's fields can be read back"))
    })
}
