//! HTTP body to lines: the first byte chooses the way ([`Way`]), the rest is the body.
//!
//! - A body is accepted exactly if `serde_json` reads it as an object, and refused for the true reason.
//! - Every call becomes one line: no line break or other control character, UTF-8, JSON by `serde_json`'s
//!   grammar.
//! - Frames read back as what was counted, and no line exceeds its bound.

use std::str;

use forebay::call::{BodyError, Limits};
use forebay::log::frame::FrameKind;
use serde::de::IgnoredAny;

use super::request::{Way, read_back};

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((way, body)) = input.split_first() else { return };
    let way = Way::of(*way);
    let read = way.parse(body);
    let text = str::from_utf8(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body));
    let theirs = || {
        let text = text.unwrap_or_default();
        let object = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
        object && serde_json::from_str::<IgnoredAny>(text).is_ok()
    };
    let request = match read {
        Ok(request) => request,
        Err(BodyError::InvalidUtf8 { at }) => {
            assert!(text.is_err() && at < body.len(), "a UTF-8 body was refused as not UTF-8");
            return;
        }
        Err(BodyError::InvalidJson { at, .. }) => {
            assert!(at <= body.len());
            assert!(!theirs(), "a JSON body was refused");
            return;
        }
        Err(BodyError::TooDeep { limit, at }) => {
            let opening = body.get(..=at).unwrap_or_default().iter().filter(|b| matches!(b, b'{' | b'['));
            assert!(
                limit == way.limits.max_depth && opening.count() > limit,
                "a body within the depth limit was refused"
            );
            return;
        }
        Err(BodyError::NoBatch) => {
            assert!(way.kind.is_none() && theirs());
            return;
        }
        Err(BodyError::EventTooLarge { len, limit }) => {
            assert!(len > limit && len <= body.len() && theirs());
            return;
        }
        Err(BodyError::NoObjects | BodyError::NoCollection | BodyError::Collection(_)) => {
            panic!("calls were read as objects")
        }
    };
    assert!(theirs(), "a body that is not a JSON object was accepted");
    if let Some(key) = request.write_key() {
        assert!(!key.is_empty() && key.trim() == key);
    }
    let (frames, tally) = way.frames(&request, false);
    let (mut lines, mut calls) = (0, 0);
    for frame in read_back(frames.bytes()) {
        let line = str::from_utf8(frame.payload).expect("a line is UTF-8");
        assert!(line.bytes().all(|byte| byte >= b' '), "a control character in {line:?}");
        assert!(line.starts_with('{') && line.ends_with('}'), "not an object: {line}");
        assert!(serde_json::from_str::<IgnoredAny>(line).is_ok(), "not JSON: {line}");
        lines += 1;
        if frame.kind == FrameKind::Call {
            calls += 1;
            assert!(line.len() <= way.limits.max_event + Limits::LINE_ALLOWANCE, "{} bytes", line.len());
        } else {
            assert!(frame.kind == FrameKind::Rejected && frame.fingerprint == 0);
        }
    }
    assert_eq!(lines, request.lines());
    assert_eq!(calls, frames.calls());
    assert!(tally.incomplete <= calls);
}
