//! Help texts, completions and manual pages.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::{CommandFactory as _, Parser as _};
use forebay::cli::args::Cli;

use super::pty::OnTerminal;
use crate::support::forebay::{command, run};
use crate::support::tools::extra_on_path;

/// Each command with its whole name: `forebay import csv`.
fn commands() -> Vec<(String, clap::Command)> {
    fn add(command: &clap::Command, above: &str, all: &mut Vec<(String, clap::Command)>) {
        let name = format!("{above}{}", command.get_name());
        all.push((name.clone(), command.clone()));
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            add(below, &format!("{name} "), all);
        }
    }
    let mut all = Vec::new();
    add(&Cli::command(), "", &mut all);
    assert!(all.len() > 20, "{all:?}");
    all
}

/// The examples at the end of a help text.
fn examples(help: &str) -> Vec<String> {
    let last = help.trim_end().rsplit("\n\n").next().unwrap();
    let mut lines = last.lines();
    let title = lines.next().unwrap_or_default();
    if !["Example:", "Examples:"].contains(&title) {
        return Vec::new();
    }
    lines.map(|line| line.strip_prefix("  ").unwrap_or_else(|| panic!("{line:?}")).to_owned()).collect()
}

/// The words after `forebay` of an example: without variables before it, and without what reads or feeds it.
fn arguments(example: &str) -> Vec<String> {
    let words = shlex::split(example).unwrap_or_else(|| panic!("{example}: a shell cannot read it"));
    let from = words.iter().position(|word| word == "forebay").unwrap_or_else(|| panic!("{example}"));
    let to = words[from..].iter().position(|word| ["|", ">"].contains(&word.as_str()));
    words[from..to.map_or(words.len(), |to| from + to)].to_vec()
}

#[test]
fn each_help_ends_with_examples_that_work() {
    for (name, mut command) in commands() {
        let help = command.render_long_help().to_string();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{name} --help does not end with an example:\n{help}");
        for example in examples {
            let arguments = arguments(&example);
            let parsed = Cli::try_parse_from(&arguments);
            // An example that only shows help is an example, too.
            let is_help =
                parsed.as_ref().is_err_and(|error| error.kind() == clap::error::ErrorKind::DisplayHelp);
            assert!(parsed.is_ok() || is_help, "{name}: {example}: {:?}", parsed.err());
            let of_command = arguments.join(" ").starts_with(&name);
            assert!(of_command, "{name} has an example of something else: {example}");
        }
    }
}

#[test]
fn help_fits_110_columns() {
    for (name, mut command) in commands() {
        // Texts that are written by hand; clap wraps the others.
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let long: Vec<&str> = after.lines().filter(|line| line.chars().count() > 120).collect();
        assert!(long.is_empty(), "{name}: {long:#?}");
        assert!(!command.render_help().to_string().contains('\t'), "{name}");
    }
}

#[tokio::test]
async fn colours_of_the_help_follow_no_color() {
    for (no_color, term, colours) in [("", "xterm", true), ("1", "xterm", false), ("", "dumb", false)] {
        let mut help = command();
        // Some CI logs show colours, so with `CI` set clap colours whatever TERM says.
        help.arg("--help").env("NO_COLOR", no_color).env("TERM", term).env_remove("CI");
        let mut help = OnTerminal::start(help, 100, 50);
        help.shows("Examples:").await;
        assert!(help.ended().await.success());
        assert_eq!(help.written().contains('\u{1b}'), colours, "NO_COLOR={no_color} TERM={term}");
    }
    let piped = run(&["--help"]).await;
    assert!(!String::from_utf8(piped.stdout).unwrap().contains('\u{1b}'));
}

async fn completions(shell: &str) -> String {
    let output = run(&["completions", shell]).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_completion_of_bash_completes() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("forebay");
    std::fs::write(&script, completions("bash").await).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let completed = |words: &[&str]| -> BTreeSet<String> {
        let number = words.len() - 1;
        let (last, before) = (words[number], words[number - 1]);
        let line = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={number}; _forebay forebay '{last}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
        );
        let output =
            Command::new("bash").args(["--norc", "-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    };
    let check = |words: &[&str], expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(completed(words), expected, "{words:?}");
    };
    check(&["forebay", "sta"], &["status"]);
    check(&["forebay", "import", "ret"], &["retry-rejects"]);
    check(&["forebay", "status", "--wat"], &["--watch"]);
    check(&["forebay", "tail", "--type", "re"], &["refused", "rejected"]);
    check(&["forebay", "completions", "z"], &["zsh"]);
}

#[tokio::test]
async fn the_other_shells_have_completions_too() {
    for (shell, begins) in [("zsh", "#compdef forebay"), ("fish", "# Print an optspec"), ("elvish", "\nuse ")]
    {
        let script = completions(shell).await;
        assert!(script.starts_with(begins), "{shell}: {}", script.lines().next().unwrap());
        assert!(script.contains("retry-rejects"), "{shell}");
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let output = run(&["man", dir.to_str().unwrap()]).await;
    assert!(output.status.success(), "{output:?}");
    let expected: BTreeSet<String> =
        commands().iter().map(|(name, _)| format!("{}.1", name.replace(' ', "-"))).collect();
    let found: BTreeSet<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected);
    let said = format!("{} pages in {}\n", expected.len(), dir.display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), said);

    let page = run(&["man"]).await;
    assert_eq!(page.stdout, std::fs::read(dir.join("forebay.1")).unwrap());
    let text = std::fs::read_to_string(dir.join("forebay-import-csv.1")).unwrap();
    assert!(
        text.contains("forebay import csv exports/ \\-\\-source shop")
            || text.contains("forebay import csv exports/ --source shop"),
        "{text}"
    );
    for name in &found {
        typeset(&dir.join(name));
    }
}

/// Formats a page as `man` does; groff reports what it does not understand.
fn typeset(page: &Path) {
    let Some(groff) = extra_on_path("groff") else { return };
    let groff = Command::new(groff).args(["-man", "-Tutf8", "-ww", "-Wbreak"]).arg(page).output().unwrap();
    assert!(groff.status.success() && groff.stderr.is_empty(), "{}: {groff:?}", page.display());
    let text = String::from_utf8(groff.stdout).unwrap();
    assert!(text.contains("forebay") && text.contains("Example"), "{}: {text}", page.display());
}
