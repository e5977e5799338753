//! Finds the commands in the texts of the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::CommandFactory as _;
use forebay::cli::args::Cli;
use regex::Regex;

/// A command in a text, as the source has it: with `{}` and capital letters where the program or a person
/// puts something in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Printed {
    pub(super) command: String,
    pub(super) at: String,
}

/// Texts that only look like commands: they are hashed, or name the sender of a test call.
const NO_COMMANDS: [&str; 5] = [
    "forebay import 1\0",
    "forebay import 2\0",
    "forebay import limits 1 {stops} {}",
    "forebay import options",
    "forebay destinations test",
];

static KNOWN: LazyLock<Vec<String>> =
    LazyLock::new(|| Cli::command().get_subcommands().map(|of| of.get_name().to_owned()).collect());
static COMMAND: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w/.-])(forebay ([a-z][a-z-]*))").unwrap());

/// Each command in a text. It ends where its backticks or its line end.
pub(super) fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for captured in COMMAND.captures_iter(text) {
        let (whole, first) = (captured.get(1).unwrap(), &captured[2]);
        let is_quoted = text.get(..whole.start()).unwrap().ends_with('`');
        let end = if is_quoted { '`' } else { '\n' };
        let command = text.get(whole.start()..).unwrap().split(end).next().unwrap().replace('\n', " ");
        // Only builds with the feature know its command.
        if first == "kafka" && !cfg!(feature = "kafka") {
            continue;
        }
        let is_command = KNOWN.iter().any(|name| name == first) || first == "help";
        assert!(is_command || !is_quoted, "`{command}` is no command of the program");
        if is_command && !NO_COMMANDS.contains(&command.as_str()) {
            found.push(command);
        }
    }
    found
}

/// The commands in the texts of the sources, without their tests.
pub(super) fn of_sources() -> Vec<Printed> {
    let mut found = Vec::new();
    for file in files(Path::new("src"), "rs") {
        let name = file.file_name().unwrap().to_str().unwrap();
        if name == "tests.rs" || file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        let without_tests = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for literal in literals(without_tests) {
            let at = file.display().to_string();
            found.extend(commands(&literal).into_iter().map(|command| Printed { command, at: at.clone() }));
        }
    }
    found
}

/// The commands in the help texts, without the examples at their ends: those are tried beside the help.
pub(super) fn of_help() -> Vec<Printed> {
    fn add(command: &mut clap::Command, found: &mut Vec<Printed>) {
        let help = command.render_long_help().to_string();
        let help = help.split("\nExample").next().unwrap();
        // Lines that clap wrapped.
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let quoted = words.split('`').skip(1).step_by(2).flat_map(commands);
        let at = format!("the help of {}", command.get_name());
        found.extend(quoted.map(|command| Printed { command, at: at.clone() }));
        command.get_subcommands_mut().for_each(|below| add(below, found));
    }
    let mut found = Vec::new();
    add(&mut Cli::command(), &mut found);
    found
}

/// The commands in the sources of the console's page.
pub(super) fn of_console() -> Vec<Printed> {
    let page = Path::new("src/admin/console/page/src");
    let command = Regex::new(r#"forebay [a-z][^`'"<\\]*"#).unwrap();
    let all = [files(page, "ts"), files(page, "tsx")].concat();
    let of_file = |file: &PathBuf| {
        let source = fs::read_to_string(file).unwrap();
        let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found =
            lines.flat_map(|line| command.find_iter(line).map(|found| found.as_str().trim().to_owned()));
        let found = found.filter(|text| !commands(text).is_empty());
        found.map(|command| Printed { command, at: file.display().to_string() }).collect::<Vec<_>>()
    };
    all.iter().flat_map(of_file).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        match path.is_dir() {
            true => found.extend(files(&path, extension)),
            false => found.extend((path.extension().is_some_and(|of| of == extension)).then_some(path)),
        }
    }
    found
}

/// The string literals of a source in Rust, without comments.
fn literals(source: &str) -> Vec<String> {
    let raw = Regex::new(r#"^b?r(#*)""#).unwrap();
    let char_literal = Regex::new(r"^'(?:\\[^']+|[^\\'])'").unwrap();
    let (mut rest, mut found, mut is_in_word) = (source, Vec::new(), false);
    while let Some(c) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(begins) = raw.captures(rest).filter(|_| !is_in_word) {
            let (begin, end) = (begins[0].len(), format!("\"{}", &begins[1]));
            let len = rest.get(begin..).unwrap().find(&end).unwrap();
            found.push(rest.get(begin..begin + len).unwrap().to_owned());
            begin + len + end.len()
        } else if c == '"' {
            let (text, len) = quoted(rest);
            found.push(text);
            len
        } else if let Some(character) = char_literal.find(rest) {
            character.len()
        } else {
            c.len_utf8()
        };
        is_in_word = c.is_alphanumeric() || c == '_';
        rest = rest.get(len..).unwrap();
    }
    found
}

/// The value of a literal in quotes, and its length in the source.
fn quoted(source: &str) -> (String, usize) {
    let (mut text, mut characters) = (String::new(), source.char_indices().skip(1).peekable());
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, at + 1),
            '\\' => match characters.next().unwrap().1 {
                'n' => text.push('\n'),
                '0' => text.push('\0'),
                '\n' => while characters.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
    panic!("a literal without an end: {}", source.get(..source.floor_char_boundary(80)).unwrap())
}

#[test]
fn literals_and_their_commands_are_found() {
    let source = r##"
        // "forebay status in a comment"
        let a = "run `forebay spool \
                 verify SPOOL` (or '\"'); \n  forebay tail --json\nnot forebay-data, forebay nothing";
        let b = ('"', r#"send with: forebay destinations test "x""#, 'l', b"x");
    "##;
    let found: Vec<String> = literals(source).iter().flat_map(|literal| commands(literal)).collect();
    let expected = ["forebay spool verify SPOOL", "forebay tail --json", "forebay destinations test \"x\""];
    assert_eq!(found, expected);
}
