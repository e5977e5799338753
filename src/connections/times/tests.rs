use super::*;

/// An event at a second.
enum Event<'a> {
    Bytes(u64, &'a [u8]),
    Began,
    Ended(u64),
}
use Event::{Began, Bytes, Ended};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn after(events: &[Event<'_>]) -> ConnectionTimes {
    let mut times = ConnectionTimes::new(seconds(5), seconds(76), seconds(0));
    for event in events {
        match event {
            Bytes(at, bytes) => times.bytes_read(bytes, seconds(*at)),
            Began => times.request_began(),
            Ended(at) => times.request_ended(seconds(*at)),
        }
    }
    times
}

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let len = u8::try_from(payload).unwrap();
    let mut bytes = vec![0, 0, len, kind, flags, 0, 0, 0, 1];
    bytes.resize(FRAME_HEADER_LEN + payload, b'x');
    bytes
}

#[test]
fn a_connection_is_closed_when_its_time_is_over_and_not_before() {
    let check = |name: &str, events: &[Event<'_>], until: u64, why: Expired| {
        let times = after(events);
        assert_eq!(times.verdict(seconds(until)), Verdict::Close(why), "{name}");
        let before = seconds(until) - Duration::from_millis(1);
        assert_eq!(times.verdict(before), Verdict::Fine { again_at: seconds(until) }, "{name}");
    };
    check("no byte at all", &[], 76, Expired::Idle);
    check("a byte a second", &[Bytes(10, b"G"), Bytes(14, b"E")], 15, Expired::Head);
    check("half a preface", &[Bytes(10, b"PRI * HT")], 15, Expired::Head);
    check("between requests", &[Bytes(1, b"GET / HTTP/1.1\r\n\r\n"), Began, Ended(3)], 79, Expired::Idle);
    let second = [Bytes(1, b"POST /"), Began, Ended(3), Bytes(60, b"POST ")];
    check("a second head", &second, 65, Expired::Head);
    check(
        "an extra line break",
        &[Bytes(1, b"POST /"), Began, Ended(3), Bytes(4, b"\r\n")],
        79,
        Expired::Idle,
    );
    check("a late byte", &[Bytes(75, b"G")], 80, Expired::Head);

    let settings = [PREFACE, &frame(4, 0, 12)].concat();
    check("HTTP/2 without a request", &[Bytes(1, &settings), Bytes(50, &frame(6, 0, 8))], 76, Expired::Idle);
    let cut = [PREFACE, &frame(HEADERS, END_HEADERS, 20)[..25]].concat();
    check("HTTP/2 head cut", &[Bytes(1, &cut), Bytes(3, b"xx")], 6, Expired::Head);
    let open = [PREFACE, &frame(HEADERS, 0, 20)].concat();
    check(
        "HTTP/2 head continued",
        &[Bytes(1, &open), Bytes(3, &frame(CONTINUATION, 0, 3))],
        6,
        Expired::Head,
    );
    check("HTTP/2 frame header cut", &[Bytes(1, &settings), Bytes(9, &[0, 0])], 14, Expired::Head);
    let whole = [PREFACE, &frame(HEADERS, 0, 20), &frame(CONTINUATION, END_HEADERS, 3)].concat();
    let late = [Bytes(1, &settings), Bytes(75, &frame(6, 0, 8)[..3])];
    check("HTTP/2 frames do not delay the end", &late, 76, Expired::Idle);
    check(
        "HTTP/2 answered",
        &[Bytes(1, &whole), Began, Ended(2), Bytes(3, &frame(8, 0, 4))],
        78,
        Expired::Idle,
    );
    let other = [Bytes(1, &whole), Began, Bytes(9, &frame(HEADERS, 0, 4))];
    check("HTTP/2 slow head beside an open request", &other, 14, Expired::Head);
}

#[test]
fn open_requests_keep_their_own_times() {
    let check = |name: &str, events: &[Event<'_>]| {
        let verdict = after(events).verdict(seconds(1_000));
        assert_eq!(verdict, Verdict::Fine { again_at: seconds(1_076) }, "{name}");
    };
    let head: &[u8] = b"POST / HTTP/1.1\r\n\r\n";
    check("HTTP/1", &[Bytes(1, head), Began]);
    check("HTTP/1 slow body", &[Bytes(1, head), Began, Bytes(9, b"{"), Bytes(30, b"}")]);
    let whole = [PREFACE, &frame(HEADERS, END_HEADERS, 20)].concat();
    check("HTTP/2", &[Bytes(1, &whole), Began]);
    check("HTTP/2 slow body", &[Bytes(1, &whole), Began, Bytes(9, &frame(0, 0, 50)[..20])]);
    check("one of two answered", &[Bytes(1, &whole), Began, Began, Ended(4)]);
}

#[test]
fn frames_are_followed_in_any_pieces() {
    let wire = [
        PREFACE,
        &frame(4, 0, 12),
        &frame(HEADERS, 0, 20),
        &frame(CONTINUATION, END_HEADERS, 0),
        &frame(0, 1, 200),
        &frame(8, 0, 4),
    ]
    .concat();
    for piece in 1..=wire.len() {
        let mut times = after(&[]);
        for bytes in wire.chunks(piece) {
            times.bytes_read(bytes, seconds(1));
        }
        assert!(times.is_http2());
        assert_eq!(times.head_since, None, "in pieces of {piece}");
    }
}

#[test]
fn data_that_may_still_be_sent_is_known() {
    let mut times = after(&[Bytes(1, b"GET / HTTP/1.1\r\n\r\n"), Began, Ended(1)]);
    assert!(!times.may_still_send());
    times.left_unread();
    assert!(times.may_still_send());
    assert!(after(&[Bytes(1, b"GET / HTTP")]).may_still_send());
}
