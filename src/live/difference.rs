//! What the collector added to a call, and what it changed. Pure.

use std::collections::HashMap;

use crate::json::Members;

/// Levels of nesting that are compared. The collector writes no deeper than `context.…`.
const DEPTH_MAX: usize = 2;
/// The most paths of one kind that are listed.
const PATHS_MAX: usize = 32;
/// The longest path that is listed, in bytes. The collector writes none as long.
const PATH_LEN_MAX: usize = 100;

/// Paths of members, such as `context.ip`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Members of the line that the client did not send.
    pub added: Vec<String>,
    /// Members of the line whose values differ from what the client sent.
    pub changed: Vec<String>,
}

impl Difference {
    /// Compares the stored `line` with the `item` that the client sent, both JSON objects.
    pub fn between(item: &str, line: &str) -> Self {
        let mut difference = Self::default();
        if let (Some(item), Some(line)) = (Members::of(item), Members::of(line)) {
            difference.compare(&item, &line, "", 0);
        }
        difference
    }

    fn compare(&mut self, item: &Members<'_>, line: &Members<'_>, above: &str, depth: usize) {
        // Of several members with one name the last one counts. A client decides how many members there are.
        let sent: HashMap<&str, &str> = item.0.iter().map(|(name, value)| (&**name, value.get())).collect();
        let stored: HashMap<&str, &str> = line.0.iter().map(|(name, value)| (&**name, value.get())).collect();
        for (name, _) in &line.0 {
            let Some(stored) = stored.get(&**name).copied() else { continue };
            let sent = sent.get(&**name).copied();
            if sent == Some(stored) {
                continue;
            }
            // A nested path would only be longer.
            if name.len() > PATH_LEN_MAX {
                continue;
            }
            let path = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
            let Some(sent) = sent else {
                push(&mut self.added, path);
                continue;
            };
            match (Members::of(sent), Members::of(stored)) {
                (Some(sent), Some(stored)) if depth + 1 < DEPTH_MAX => {
                    self.compare(&sent, &stored, &path, depth + 1);
                }
                _ if is_same(sent, stored) => {}
                _ => push(&mut self.changed, path),
            }
        }
    }
}

fn push(paths: &mut Vec<String>, path: String) {
    if paths.len() < PATHS_MAX && path.len() <= PATH_LEN_MAX {
        paths.push(path);
    }
}

/// Whether two texts are the same value: white space is not kept in a line.
fn is_same(sent: &str, stored: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    value(sent).is_some_and(|sent| Some(sent) == value(stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_and_changed_members_are_told_apart() {
        let check = |item: &str, line: &str, added: &[&str], changed: &[&str]| {
            let difference = Difference::between(item, line);
            assert_eq!(
                (&difference.added[..], &difference.changed[..]),
                (&own(added)[..], &own(changed)[..]),
                "{line}"
            );
        };
        check(r#"{"a":1}"#, r#"{"a":1}"#, &[], &[]);
        check(r#"{"a":1}"#, r#"{"a":1,"receivedAt":"x"}"#, &["receivedAt"], &[]);
        check(r#"{"timestamp":"x"}"#, r#"{"timestamp":"y"}"#, &[], &["timestamp"]);
        check(r#"{"context":{"a":1}}"#, r#"{"context":{"a":1,"ip":"x"}}"#, &["context.ip"], &[]);
        check(r#"{"p":{"a":{"b":1}}}"#, r#"{"p":{"a":{"b":2}}}"#, &[], &["p.a"]);
        check(r#"{"p":{ "a" : [1, 2] }}"#, r#"{"p":{"a":[1,2]}}"#, &[], &[]);
        check("7", r#"{"value":7}"#, &[], &[]);
    }

    #[test]
    fn thousands_of_members_take_no_time() {
        let members: Vec<String> = (0..60_000).map(|n| format!("\"m{n}\":1")).collect();
        let item = format!("{{{}}}", members.join(","));
        let line = format!("{{{},\"receivedAt\":1}}", members.join(","));
        // With a search for each member this takes minutes.
        assert_eq!(Difference::between(&item, &line).added, ["receivedAt"]);
    }

    fn own(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&path| path.to_owned()).collect()
    }
}
