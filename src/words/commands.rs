//! Commands in texts, with the configuration that a person typed.

use std::fmt;
use std::io::{self, Write};

use super::shell_word;

/// What such commands begin with.
const BEGIN: &str = concat!("forebay", " import ");
/// Those that find an import by the configuration.
const OF_CONFIG: [&str; 10] = [
    "run", "reset-file", "retry-rejects", "pause", "resume", "status", "rename", "release", "preview",
    "test-credentials",
];
/// The option that names it.
const OPTION: &str = " --config ";

/// The text with commands of imports that name this configuration. Where no node runs, they find their import only
/// there. A command ends with its quotes, or with its line.
pub fn with_config(text: &str, config: &str) -> String {
    let (mut all, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, from)) = rest.split_once(BEGIN) {
        let end = from.find(['`', '\n']).unwrap_or(from.len());
        let (command, after) = from.split_at(end);
        all += before;
        all += BEGIN;
        all += command;
        let name = command.split_whitespace().next().unwrap_or_default();
        if OF_CONFIG.contains(&name) && !command.contains(OPTION) {
            all += OPTION;
            all += &shell_word(config);
        }
        rest = after;
    }
    all + rest
}

/// Writes lines in which commands [name this configuration](with_config).
pub struct NamingConfig<'w> {
    out: &'w mut dyn Write,
    config: &'w str,
    /// The begin of a line that has not ended.
    line: Vec<u8>,
}

impl<'w> NamingConfig<'w> {
    /// Writes to `out`.
    pub fn new(out: &'w mut dyn Write, config: &'w str) -> Self {
        Self { out, config, line: Vec::new() }
    }
}

impl fmt::Debug for NamingConfig<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamingConfig").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Write for NamingConfig<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.line.drain(..=end).collect();
            self.out.write_all(with_config(&String::from_utf8_lossy(&lines), self.config).as_bytes())?;
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
        let check = |text: &str, expected: &str| {
            assert_eq!(with_config(text, "my file.toml"), expected);
            let mut out = Vec::new();
            let mut naming = NamingConfig::new(&mut out, "my file.toml");
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
        check("now: forebay import pause o", "now: forebay import pause o --config 'my file.toml'");
        check("`forebay import run o --config f`\n", "`forebay import run o --config f`\n");
        // It asks a node alone.
        check("`forebay import list --import o`\n", "`forebay import list --import o`\n");
    }
}
