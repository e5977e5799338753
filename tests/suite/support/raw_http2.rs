//! HTTP/2 frames as bytes, for clients that do what no library does.

/// The start of a connection: the preface, and settings.
pub(crate) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat()
}

/// The setting of how many bytes of each answer may be sent without a window update.
pub(crate) const INITIAL_WINDOW: u16 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A POST whose body follows.
pub(crate) fn post(stream: u32, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head("POST", path, headers))
}

/// A complete GET.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &[]))
}

/// A GET whose head does not end.
pub(crate) fn endless_get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &head("GET", path, &[]))
}

/// More of a head that does not end.
pub(crate) fn continuation(stream: u32, name: &str, value: &str) -> Vec<u8> {
    let mut block = Vec::new();
    literal(&mut block, name, value);
    frame(CONTINUATION, 0, stream, &block)
}

/// A piece of a body.
pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream, bytes)
}

/// The cancellation of a stream.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// A ping, which gets an answer of the same size.
pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// Allows so many more bytes of an answer.
pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// The ids that a client may use for its streams, in order.
pub(crate) fn stream_ids() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "c"), (":path", path)];
    for (name, value) in pseudo.iter().chain(headers) {
        literal(&mut block, name, value);
    }
    block
}

/// A header that no table stores.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// A length in HPACK form, with a prefix of 7 bits.
fn length(block: &mut Vec<u8>, len: usize) {
    let Some(mut rest) = len.checked_sub(127) else {
        block.push(u8::try_from(len).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
