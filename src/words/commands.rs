//! Commands in texts, with the options that a person typed.

use std::fmt;
use std::io::{self, Write};

use super::shell_word;

/// What such commands begin with.
const BEGIN: &str = concat!("forebay", " ");
/// Commands of imports that ask a node or work in a spool.
const OF_NODE: [&str; 9] =
    ["run", "reset-file", "retry-rejects", "pause", "resume", "status", "rename", "release", "list"];
/// Commands of imports that need the configuration alone.
const OF_CONFIG: [&str; 3] = ["preview", "test-credentials", "setup-notifications"];

/// How a person said where imports are. Printed commands would not find them otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedOptions {
    /// The configuration, if one was named.
    pub config: Option<String>,
    /// The URL of the node's admin listener, if one was named.
    pub admin: Option<String>,
}

impl TypedOptions {
    /// The text with commands of imports that have these options. A command ends with its quotes, or with its line.
    pub fn added_to(&self, text: &str) -> String {
        let (mut all, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, from)) = rest.split_once(BEGIN) {
            let end = end_of_command(from);
            let (command, after) = from.split_at(end);
            all += before;
            all += BEGIN;
            all += command;
            let (takes_config, takes_admin) = takes(command);
            for (takes, option, value) in
                [(takes_config, " --config ", &self.config), (takes_admin, " --admin ", &self.admin)]
            {
                if let Some(value) = value.as_ref().filter(|_| takes && !command.contains(option)) {
                    all += option;
                    all += &shell_word(value);
                }
            }
            rest = after;
        }
        all + rest
    }
}

/// Where a command ends that a text begins with: at its backquote, or with its line. Within single quotes, as the words
/// of a shell have them, a backquote is a character.
fn end_of_command(text: &str) -> usize {
    let is_end = |c: char| matches!(c, '`' | '\n');
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' if !is_quoted => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            '\n' if is_quoted => break,
            _ if is_end(c) && !is_quoted => return at,
            _ => {}
        }
    }
    // An apostrophe of the text behind it.
    if is_quoted { text.find(is_end).unwrap_or(text.len()) } else { text.len() }
}

/// Whether a command finds an import by `--config`, and by `--admin`.
fn takes(command: &str) -> (bool, bool) {
    let mut words = command.split_whitespace();
    match (words.next(), words.next()) {
        (Some("import"), Some(name)) => {
            let of_node = OF_NODE.contains(&name);
            (of_node || OF_CONFIG.contains(&name), of_node)
        }
        (Some("policy"), _) => (command.contains(" --import "), false),
        _ => (false, false),
    }
}

/// Writes lines in which commands have [these options](TypedOptions::added_to).
pub struct AddingOptions<'w> {
    out: &'w mut dyn Write,
    typed: &'w TypedOptions,
    /// The begin of a line that has not ended.
    line: Vec<u8>,
}

impl<'w> AddingOptions<'w> {
    /// Writes to `out`.
    pub fn new(out: &'w mut dyn Write, typed: &'w TypedOptions) -> Self {
        Self { out, typed, line: Vec::new() }
    }
}

impl fmt::Debug for AddingOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddingOptions").field("typed", &self.typed).finish_non_exhaustive()
    }
}

impl Write for AddingOptions<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.line.drain(..=end).collect();
            self.out.write_all(self.typed.added_to(&String::from_utf8_lossy(&lines)).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_configuration_once() {
        let typed = TypedOptions { config: Some("my file.toml".to_owned()), admin: None };
        let check = |text: &str, expected: &str| {
            assert_eq!(typed.added_to(text), expected);
            let mut out = Vec::new();
            let mut naming = AddingOptions::new(&mut out, &typed);
            text.as_bytes().chunks(7).for_each(|part| naming.write_all(part).unwrap());
            naming.flush().unwrap();
            drop(naming);
            if text.ends_with('\n') {
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        };
        check("no command\n", "no command\n");
        check(
            "rows stay: `forebay import reset-file o 'a b' --accept-rejects` does without, `forebay import run o`\n",
            "rows stay: `forebay import reset-file o 'a b' --accept-rejects --config 'my file.toml'` does without, \
             `forebay import run o --config 'my file.toml'`\n",
        );
        check(
            "now: forebay import run o\nmore\n",
            "now: forebay import run o --config 'my file.toml'\nmore\n",
        );
        check(
            r#"so: `forebay import reset-file o 'q/it'\''s `id` x'` lets it"#,
            r#"so: `forebay import reset-file o 'q/it'\''s `id` x' --config 'my file.toml'` lets it"#,
        );
        check(
            "now: `forebay import run o`, as the node's page says\n",
            "now: `forebay import run o --config 'my file.toml'`, as the node's page says\n",
        );
        check("now: forebay import pause o", "now: forebay import pause o --config 'my file.toml'");
        check("`forebay import run o --config f`\n", "`forebay import run o --config f`\n");
        check("`forebay import infer-converter F`\n", "`forebay import infer-converter F`\n");
        check(
            "see `forebay policy reader` and `forebay policy import-read --import o --kms-key ARN`\n",
            "see `forebay policy reader` and `forebay policy import-read --import o --kms-key ARN --config 'my file.toml'`\n",
        );
    }

    #[test]
    fn commands_that_ask_a_node_name_it() {
        let typed = TypedOptions { config: None, admin: Some("http://n:9180/".to_owned()) };
        assert_eq!(
            typed.added_to("`forebay import list --import o`, `forebay import preview o`, `forebay import run o --admin u`"),
            "`forebay import list --import o --admin http://n:9180/`, `forebay import preview o`, `forebay import run o --admin u`"
        );
        let both = TypedOptions { config: Some("f".to_owned()), ..typed };
        assert_eq!(
            both.added_to("forebay import run o"),
            "forebay import run o --config f --admin http://n:9180/"
        );
    }
}
