//! Calls and refused requests of the live view, and their lines on a terminal. Pure.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::live::RefusedGroup;
use crate::runtime::paint::{BAD, FAINT, styled};
use crate::time::UnixMillis;
use crate::words::date::rfc3339_within_years;
use crate::words::outside::is_unsafe_to_show;
use crate::words::table::wrapped_within;
use crate::words::{about_bytes, columns, outside_text, within_columns};

/// Source, type, name, user, size and SDK.
const COLUMNS: usize = 6;
/// The widest that these columns become where there is no terminal. The last one is not filled up.
const WIDEST: [usize; COLUMNS] = [24, 8, 40, 28, 8, 0];
/// The narrowest that they become.
const NARROWEST: [usize; COLUMNS] = [6, 8, 12, 8, 7, 3];
/// Calls whose widths count on a terminal: about as many as are on the screen.
const SHOWN_MAX: usize = 100;
/// The column of the size, which is aligned to the right.
const SIZE: usize = 4;
/// The width of a time, in columns.
const TIME: usize = 12;
/// The width between two columns.
const GAP: usize = 2;

/// A call, an object set or a rejected item: what a line shows of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LiveCall {
    /// The call's number, which grows within the process.
    pub id: u64,
    /// When the call was received, in Unix milliseconds.
    pub at_ms: i64,
    /// The call's source.
    pub source: String,
    /// The stream: `calls`, `rejected` or `objects/<collection>`.
    pub stream: String,
    /// The type: `track` and so on; `object`; for a rejected item its type, or nothing.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event, page, screen, group or collection.
    pub name: Option<String>,
    /// The call's user.
    pub user: Option<String>,
    /// The length of the stored line, in bytes.
    pub bytes: u64,
    /// Why the item was rejected: a word.
    pub reason: Option<String>,
    /// Why the item was rejected: a sentence.
    pub reason_text: Option<String>,
    /// The SDK and its version.
    pub library: Option<String>,
}

/// The calls of an event, as sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Calls<'a> {
    /// Each call.
    #[serde(borrow)]
    pub calls: Vec<&'a RawValue>,
    /// Whether the calls were received before this viewer came.
    pub recent: bool,
}

/// Groups of refused requests of an event, as sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refused<'a> {
    /// Each group.
    #[serde(borrow)]
    pub groups: Vec<&'a RawValue>,
}

impl LiveCall {
    /// Orders the call among all calls, also across a restart of the collector.
    pub fn place(&self) -> (i64, u64) {
        (self.at_ms, self.id)
    }

    fn is_rejected(&self) -> bool {
        self.stream == "rejected"
    }
}

/// Lays out one line for each call. On a terminal its columns share the width there is: a column is as wide as
/// what it shows of the latest calls, and the widest give way first.
#[derive(Clone, Debug)]
pub struct Layout {
    widths: [usize; COLUMNS],
    /// The widths of the latest calls, of a terminal alone.
    shown: VecDeque<[usize; COLUMNS]>,
    /// The columns of the terminal; `None` elsewhere, where nothing is cut, and columns grow up to a bound.
    terminal: Option<usize>,
    colours: bool,
}

impl Layout {
    /// A layout for a terminal with this many columns, or for other output.
    pub fn new(terminal: Option<usize>, colours: bool) -> Self {
        Self { widths: NARROWEST, shown: VecDeque::new(), terminal, colours }
    }

    /// Takes over another width of the terminal.
    pub fn resize(&mut self, terminal: Option<usize>) {
        self.terminal = terminal;
        self.share_width();
    }

    /// The line above the calls.
    pub fn header(&self) -> String {
        let names = ["source", "type", "name", "user", "size", "SDK"].map(str::to_owned);
        let mut line = format!("{:TIME$}", "time (UTC)");
        self.cells(&mut line, &names);
        styled(&self.within(line), FAINT, self.colours)
    }

    /// Makes room on a terminal for a call that is shown next.
    pub fn make_room(&mut self, call: &LiveCall) {
        if self.terminal.is_none() {
            return;
        }
        let widths = cells(call).map(|cell| columns(&cell));
        if self.shown.len() == SHOWN_MAX {
            self.shown.pop_front();
        }
        self.shown.push_back(widths);
        self.share_width();
    }

    /// Shares a terminal's width among the columns. What they want beyond it is taken from the widest.
    fn share_width(&mut self) {
        let Some(terminal) = self.terminal else { return };
        self.widths = NARROWEST;
        for shown in &self.shown {
            for (width, cell) in self.widths.iter_mut().zip(shown) {
                *width = (*cell).min(terminal).max(*width);
            }
        }
        let space = terminal.saturating_sub(TIME + COLUMNS * GAP);
        for _ in space..self.widths.iter().sum() {
            let wider =
                self.widths.iter_mut().zip(NARROWEST).filter(|(width, narrowest)| **width > *narrowest);
            let Some((widest, _)) = wider.max_by_key(|(width, _)| **width) else { return };
            *widest -= 1;
        }
    }

    /// The line of a call.
    pub fn line(&mut self, call: &LiveCall) -> String {
        let (cells, mut line) = (cells(call), String::new());
        if self.terminal.is_none() {
            for ((width, cell), widest) in self.widths.iter_mut().zip(&cells).zip(WIDEST) {
                *width = columns(cell).clamp(*width, widest.max(*width));
            }
        }
        self.cells(&mut line, &cells);
        let line = match self.terminal {
            Some(width) => within_columns(&line, width.saturating_sub(TIME)),
            None => line,
        };
        let line = line.trim_end();
        let time = styled(&time(call.at_ms), FAINT, self.colours);
        match line.find("rejected").filter(|_| call.is_rejected() && self.colours) {
            Some(at) => {
                let (before, rest) = line.split_at(at);
                let (word, after) = rest.split_at("rejected".len());
                format!("{time}{before}{}{after}", styled(word, BAD, true))
            }
            None => format!("{time}{line}"),
        }
    }

    /// The lines of refused requests. `known`: the group was shown before.
    pub fn refused(&self, group: &RefusedGroup, known: bool) -> String {
        let (time, word) = (time(group.last.0), "refused");
        let width = self.terminal.unwrap_or(usize::MAX);
        let text = wrapped_within(width, &format!("{time}  {word}  "), &group.text(known)).join("\n");
        let styled_word = styled(word, BAD, self.colours);
        text.replacen(&time, &styled(&time, FAINT, self.colours), 1).replacen(word, &styled_word, 1)
    }

    fn cells(&self, line: &mut String, cells: &[String; COLUMNS]) {
        let gap = " ".repeat(GAP);
        for (index, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            line.push_str(&gap);
            let cell = if self.terminal.is_some() { within_columns(cell, width) } else { cell.clone() };
            let pad = " ".repeat(width.saturating_sub(columns(&cell)));
            line.extend(if index == SIZE { [pad, cell] } else { [cell, pad] });
        }
    }

    fn within(&self, line: String) -> String {
        match self.terminal {
            Some(width) => within_columns(line.trim_end(), width),
            None => line.trim_end().to_owned(),
        }
    }
}

/// What the columns show of a call.
fn cells(call: &LiveCall) -> [String; COLUMNS] {
    let shown = |text: &str| outside_text(text).to_string();
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), shown);
    let kind = if call.is_rejected() { "rejected".to_owned() } else { shown(&call.kind) };
    // A rejected item has its reason where others have name and user.
    let name = match (&call.reason_text, &call.reason) {
        (Some(why), _) | (None, Some(why)) if call.is_rejected() => shown(why),
        _ => text(&call.name),
    };
    [shown(&call.source), kind, name, text(&call.user), about_bytes(call.bytes), text(&call.library)]
}

/// `16:33:26.158`
fn time(at_ms: i64) -> String {
    let text = rfc3339_within_years(UnixMillis(at_ms));
    String::from_utf8_lossy(text.get(11..11 + TIME).unwrap_or_default()).into_owned()
}

/// JSON as sent, on one line and safe for a terminal. Characters that a terminal may act on can only be
/// inside strings, where an escape means the same.
pub fn one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if is_unsafe_to_show(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: &str, name: &str) -> LiveCall {
        LiveCall {
            at_ms: 1_561_134_806_158,
            source: "web".into(),
            stream: "calls".into(),
            kind: kind.into(),
            name: Some(name.into()),
            user: Some("u1".into()),
            bytes: 1_234,
            library: Some("analytics-node 3.1.0".into()),
            ..LiveCall::default()
        }
    }

    /// The line of a call that nothing else was shown beside.
    fn line_of(mut layout: Layout, call: &LiveCall) -> String {
        layout.make_room(call);
        layout.line(call)
    }

    #[test]
    fn a_call_is_one_line() {
        let layout = Layout::new(None, false);
        assert_eq!(layout.header(), "time (UTC)    source  type      name          user         size  SDK");
        assert_eq!(
            line_of(layout.clone(), &call("track", "Order Completed")),
            "16:33:26.158  web     track     Order Completed  u1         1.2 KB  analytics-node 3.1.0"
        );
        let bare = LiveCall { kind: "identify".into(), source: "web".into(), ..LiveCall::default() };
        assert_eq!(
            line_of(layout, &bare),
            "00:00:00.000  web     identify  -             -             0 B  -"
        );
    }

    #[test]
    fn a_rejected_item_shows_its_reason() {
        let rejected = LiveCall {
            stream: "rejected".into(),
            reason: Some("no_event".into()),
            reason_text: Some("a track call needs an event".into()),
            ..call("track", "")
        };
        let line = line_of(Layout::new(None, false), &rejected);
        assert!(line.contains("  rejected  a track call needs an event  u1"), "{line}");
        let coloured = line_of(Layout::new(None, true), &rejected);
        assert!(coloured.contains(&format!("{BAD}rejected{BAD:#}")), "{coloured:?}");
        let no_sentence = LiveCall { reason_text: None, ..rejected };
        assert!(line_of(Layout::new(None, false), &no_sentence).contains("  no_event  "));
    }

    #[test]
    fn a_line_fits_the_terminal_whatever_it_shows() {
        for width in [20, 40, 80, 200] {
            let mut layout = Layout::new(Some(width), false);
            for name in ["e", &"long ".repeat(50), &"日本".repeat(50), "\u{1b}[31mred\u{202e}\n"] {
                let mut call = call("track", name);
                call.source = name.to_owned();
                call.library = Some(name.to_owned());
                layout.make_room(&call);
                let line = layout.line(&call);
                assert!(columns(&line) <= width, "{width}: {line}");
                assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
                assert!(columns(&layout.header()) <= width);
            }
        }
    }

    #[test]
    fn the_columns_share_the_width_that_a_terminal_has() {
        let long = LiveCall {
            source: "checkout-web-production".into(),
            user: Some("0b7c1f2e-6a53-4f0e-9d0c-1f1d8a1b2c3d".into()),
            library: Some("analytics-react-native 2.21.0".into()),
            ..call("track", "Subscription Renewal Reminder Scheduled Again")
        };
        let check = |layout: &mut Layout, columns, line: &str| {
            layout.resize(Some(columns));
            assert_eq!(layout.line(&long), line, "{columns}");
        };
        let mut layout = Layout::new(Some(180), false);
        layout.make_room(&long);
        let whole = "16:33:26.158  checkout-web-production  track     Subscription Renewal Reminder Scheduled Again  \
                     0b7c1f2e-6a53-4f0e-9d0c-1f1d8a1b2c3d   1.2 KB  analytics-react-native 2.21.0";
        check(&mut layout, 180, whole);
        let narrower = "16:33:26.158  checkout-web-product…  track     Subscription Renewal…  0b7c1f2e-6a53-4f0e-9…  \
                        \u{20}1.2 KB  analytics-react-nat…";
        check(&mut layout, 122, narrower);
        // Narrower and wider again: nothing is lost.
        layout.resize(Some(40));
        check(&mut layout, 180, whole);
        // Once the long ones are off the screen, their room is free.
        let mut layout = Layout::new(Some(100), false);
        layout.make_room(&long);
        let short = call("track", "Order Completed");
        assert!(layout.line(&short).starts_with("16:33:26.158  web           "), "{}", layout.line(&short));
        (0..SHOWN_MAX).for_each(|_| layout.make_room(&short));
        assert_eq!(
            layout.line(&short),
            "16:33:26.158  web     track     Order Completed  u1         1.2 KB  analytics-node 3.1.0"
        );
    }

    #[test]
    fn json_stays_the_same_value_on_one_safe_line() {
        let json = "{\n  \"a\": \"x\u{9b}31m\u{202e}\u{7f}ü😀\",\t\"n\": 1.0e2\r\n}";
        let line = one_line(json);
        assert_eq!(line, "{   \"a\": \"x\\u009b31m\\u202e\\u007fü😀\", \"n\": 1.0e2  }");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&line), value(json));
    }
}
