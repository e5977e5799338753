//! Parses the output of `strace -f -y` into system calls with a beginning and an end.

use std::collections::HashMap;
use std::iter::Peekable;

/// A system call on an open file. Beginning and end are line numbers: strace writes a line, or half of one,
/// when it stops the thread at entry and at exit. So anything that a thread does because of another's call
/// appears after the end of that call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemCall {
    pub(crate) name: String,
    /// The identity of the file for all its descriptors: a path, or `socket:[31]`.
    pub(crate) file: String,
    /// The bytes that were read or passed, all parts concatenated.
    pub(crate) bytes: Vec<u8>,
    /// Whether bytes are missing because they exceeded strace's limit.
    pub(crate) cut: bool,
    /// The result, -1 for an error. `None` if unknown, or if the call was interrupted and did nothing.
    pub(crate) result: Option<i64>,
    /// The last argument, if it is a number.
    last: Option<u64>,
    pub(crate) began: usize,
    /// `None` if the trace ends before it.
    pub(crate) ended: Option<usize>,
}

impl SystemCall {
    /// The range of bytes of a positional write: begin and end.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        let at = self.last.filter(|_| self.name.starts_with("pwrite"))?;
        let put = u64::try_from(self.result?).ok()?;
        Some((at, at + put))
    }

    /// The bytes that were actually read or written.
    pub(crate) fn moved(&self) -> &[u8] {
        let moved = self.result.and_then(|result| usize::try_from(result).ok()).unwrap_or(0);
        &self.bytes[..moved.min(self.bytes.len())]
    }

    /// Whether it had ended before this line was written.
    pub(crate) fn ended_before(&self, line: usize) -> bool {
        self.ended.is_some_and(|ended| ended < line)
    }
}

/// All calls on open files, in the order of their beginnings. Those that began before the first line are left
/// out.
pub(crate) fn parse(record: &str) -> Vec<SystemCall> {
    let mut calls = Vec::new();
    let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
    for (line, text) in record.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(first) = text.strip_suffix("<unfinished ...>") {
            open.insert(thread, (line, first));
        } else if let Some((_, rest)) =
            text.strip_prefix("<... ").and_then(|text| text.split_once(" resumed>"))
        {
            let Some((began, first)) = open.remove(thread) else { continue };
            calls.extend(one(&format!("{first}{rest}"), began, Some(line)));
        } else {
            calls.extend(one(text, line, Some(line)));
        }
    }
    calls.extend(open.into_values().filter_map(|(began, first)| one(first, began, None)));
    calls.sort_by_key(|call| call.began);
    calls
}

fn one(text: &str, began: usize, ended: Option<usize>) -> Option<SystemCall> {
    let (name, arguments) = text.split_once('(')?;
    let (number, file) = arguments.split_once('<')?;
    let (file, _) = file.split_once('>')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (bytes, cut) = quoted(arguments);
    let (arguments, result) = arguments.rsplit_once(" = ").unwrap_or((arguments, "?"));
    let last = arguments.trim_end().trim_end_matches(')').rsplit_once(", ");
    Some(SystemCall {
        name: name.to_owned(),
        file: file.to_owned(),
        bytes,
        cut,
        result: if result.contains("EINTR") { None } else { number_at_start(result) },
        last: last.and_then(|(_, last)| last.parse().ok()),
        began,
        ended,
    })
}

fn number_at_start(text: &str) -> Option<i64> {
    text.split_whitespace().next()?.parse().ok()
}

/// All quoted text, and whether some of it is abbreviated by an ellipsis.
fn quoted(text: &str) -> (Vec<u8>, bool) {
    let (mut bytes, mut cut) = (Vec::new(), false);
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'"' {
            continue;
        }
        loop {
            match rest.next() {
                None | Some(b'"') => break,
                Some(b'\\') => bytes.extend(escaped(&mut rest)),
                Some(byte) => bytes.push(byte),
            }
        }
        cut |= rest.peek() == Some(&b'.');
    }
    (bytes, cut)
}

/// The byte encoded after a backslash: a letter, or up to three octal digits.
fn escaped(rest: &mut Peekable<impl Iterator<Item = u8>>) -> Option<u8> {
    let octal = |byte: &u8| matches!(byte, b'0'..=b'7');
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        digit if octal(&digit) => {
            let mut value = u32::from(digit - b'0');
            for _ in 0..2 {
                let Some(digit) = rest.next_if(octal) else { break };
                value = value * 8 + u32::from(digit - b'0');
            }
            u8::try_from(value).ok()?
        }
        byte => byte,
    })
}

#[test]
fn two_halves_of_a_line_are_one_call() {
    let record = "\
7     <... epoll_wait resumed>[], 1024, 8) = 0
8     recvfrom(9<socket:[31]>,  <unfinished ...>
7     pwritev(7</spool/wal-1.seg>, [{iov_base=\"\\0\\1\\0019\\n\\\"\", iov_len=6}, {iov_base=\"ab) = 3\", iov_len=7}], 2, 4096) = 13
8     <... recvfrom resumed>\"POST\", 8192, 0, NULL, NULL) = 4
7     --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---
7     fdatasync(7</spool/wal-1.seg>)          = -1 EIO (Input/output error) (INJECTED)
8     write(9<socket:[31]>, \"HT\"..., 100) = ?
7     fdatasync(7</spool/wal-1.seg> <unfinished ...>
7     +++ exited with 0 +++
";
    let calls = parse(record);
    let call = |name: &str, file: &str, bytes: &[u8], result, began, ended| SystemCall {
        name: name.to_owned(),
        file: file.to_owned(),
        bytes: bytes.to_owned(),
        result,
        began,
        ended,
        ..SystemCall::default()
    };
    let (socket, segment) = ("socket:[31]", "/spool/wal-1.seg");
    let read = call("recvfrom", socket, b"POST", Some(4), 1, Some(3));
    let written = call("pwritev", segment, b"\0\x01\x019\n\"ab) = 3", Some(13), 2, Some(2));
    let answered = call("write", socket, b"HT", None, 6, Some(6));
    assert_eq!(calls[0], read);
    assert_eq!(calls[1], SystemCall { last: Some(4_096), ..written });
    assert_eq!(calls[1].range(), Some((4_096, 4_109)));
    assert_eq!(calls[2], call("fdatasync", segment, b"", Some(-1), 5, Some(5)));
    assert_eq!(calls[3], SystemCall { cut: true, last: Some(100), ..answered });
    assert_eq!(calls[4], call("fdatasync", segment, b"", None, 7, None));
    assert_eq!(calls.len(), 5);
}
