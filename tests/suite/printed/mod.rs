//! A command that the program prints is one that was run: each command in its texts, its help and its console
//! is in a table, is parsed by the program itself, and is run where a test can.

mod scan;
mod stage;
mod table;

use std::collections::BTreeSet;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use forebay::cli::args::Cli;
use regex::Regex;

use scan::Printed;
use stage::Stage;
use table::{Tried, filled, rows};

use crate::support::tools::in_venv;

/// The examples of all help texts: tests/suite/terminal/help.rs parses them.
fn examples() -> BTreeSet<String> {
    fn add(command: &mut clap::Command, examples: &mut BTreeSet<String>) {
        let help = command.render_long_help().to_string();
        let lines = help.split("\nExample").skip(1).flat_map(|text| text.lines().skip(1).map(str::trim));
        for line in lines {
            examples.extend(line.find("forebay ").map(|at| line.get(at..).unwrap().to_owned()));
        }
        command.get_subcommands_mut().for_each(|below| add(below, examples));
    }
    let mut examples = BTreeSet::new();
    add(&mut Cli::command(), &mut examples);
    examples
}

/// Whether a typed command is one that the text stands for: `{}` and capital letters are filled in.
fn stands_for(text: &str, typed: &str) -> bool {
    let open = Regex::new(r"\$?\{[^ }]*(?:\([^)]*\))?\}|\b[A-Z]{2,}\b").unwrap();
    let (mut pattern, mut from) = ("^".to_owned(), 0);
    for hole in open.find_iter(text) {
        pattern += &regex::escape(text.get(from..hole.start()).unwrap());
        pattern += ".*";
        from = hole.end();
    }
    pattern += &regex::escape(text.get(from..).unwrap());
    Regex::new(&(pattern + "$")).unwrap().is_match(typed)
}

#[test]
fn a_new_command_in_a_text_needs_a_row_of_the_table() {
    let examples = examples();
    let found = [scan::of_sources(), scan::of_help(), scan::of_console()].concat();
    assert!(found.len() > 150, "{}", found.len());
    let rows: BTreeSet<&str> = rows().map(|(text, ..)| *text).collect();
    let missing: BTreeSet<&Printed> = found
        .iter()
        .filter(|one| !rows.contains(one.command.as_str()) && !examples.contains(&one.command))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:#?}");
    let stale: Vec<&&str> = rows.iter().filter(|row| found.iter().all(|one| one.command != **row)).collect();
    assert!(stale.is_empty(), "no text has {stale:#?}");
}

#[test]
fn each_command_of_a_text_is_parsed() {
    let sample = |word: String| match word.as_str() {
        "@job" => "f3cc4f60-61f6-4a2b-8a21-d07600c373ce".to_owned(),
        "@receipt" => "web/1763596800000/0123456789abcdef0123456789abcdef/42".to_owned(),
        "@key" => "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".to_owned(),
        "@principal" => "arn:aws:iam::444455556666:role/forebay".to_owned(),
        "http://@console" => "http://127.0.0.1:9180".to_owned(),
        _ => word,
    };
    let mut wrong = Vec::new();
    for (text, typed, tried) in rows() {
        if *tried == Tried::Named {
            let command = Cli::command();
            let mut names = text.split(' ').skip(1);
            let named = names.try_fold(&command, |above, name| above.find_subcommand(name));
            wrong.extend(named.is_none().then(|| format!("{text}: there is no such command")));
            continue;
        }
        let words = shlex::split(typed).unwrap().into_iter().map(sample);
        match Cli::try_parse_from(words) {
            Err(error) if error.kind() != ErrorKind::DisplayHelp => wrong.push(format!("{text}: {error}")),
            _ if !stands_for(text, typed) => wrong.push(format!("{text} does not stand for {typed}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_filled_in_is_all_that_may_differ() {
    assert!(stands_for("forebay import run {name} --again", "forebay import run orders --again"));
    assert!(stands_for("forebay spool verify SPOOL", "forebay spool verify @spool"));
    assert!(stands_for("forebay x ${word(name)} --dry-run", "forebay x orders --dry-run"));
    assert!(!stands_for("forebay spool verify", "forebay spool verify @spool"));
    assert!(!stands_for("forebay import run {name} --again", "forebay import run orders"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_a_text_is_run() {
    let stage = Stage::complete().await;
    let (mut wrong, mut typed_before) = (Vec::new(), BTreeSet::new());
    for (text, typed, tried) in rows() {
        let Tried::Ends(code) = tried else { continue };
        if !typed_before.insert(typed) {
            continue;
        }
        let ran = stage.run_words(&filled(&stage, typed)).await;
        if ran.code != Some(*code) {
            wrong.push(format!("{text}: {typed}: {:?}, not {code}: {}", ran.code, ran.said));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), stage.dev.log());
    assert!(stage.dev.terminate().await.success());
}

/// What a person runs, in this order; each prints commands.
const PRINTS: [&str; 14] = [
    "forebay destinations status",
    "forebay destinations status crm",
    "forebay import run orders",
    "forebay import csv track_1.csv",
    "forebay import list",
    "forebay import list --import orders",
    "forebay import pause orders",
    "forebay import status",
    "forebay status",
    "forebay find --user-id 42",
    "forebay tail --source nosuch",
    "forebay batch list",
    "forebay batch run --manifest m.csv --handler 'cmd:python3 f.py'",
    "forebay policy",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_program_prints_is_run_as_it_is() {
    if in_venv("aws").is_none() {
        return;
    }
    let mut stage = Stage::start("laptop.toml").await;
    stage.put_rows().await;
    // The next steps that `dev` prints at its start.
    let mut steps = vec![stage.dev.printed("  curl ").await];
    steps.extend(scan::commands(&stage.dev.printed("forebay flush").await));
    let keys = stage.dev.printed("  AWS_ACCESS_KEY_ID").await;
    steps.push(format!("{}{}", keys.trim_end_matches('\\'), stage.dev.printed("aws s3 sync").await));
    steps.push(stage.dev.printed("find segment-logs").await);
    let mut ran = Vec::new();
    for step in &steps {
        ran.push(stage.shell(step).await);
    }
    assert!(ran.iter().all(|ran| ran.code == Some(0)), "{steps:?}: {ran:#?}");
    assert!(ran[3].said.contains(r#""event":"Hello""#), "the call is in the bucket: {ran:#?}");

    stage.has_dead_letter().await;
    stage.mend();
    let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
    // Capital letters stand for something that only a person knows; the table fills them in.
    let capitals = Regex::new(r" [A-Z]{2,}( |$)").unwrap();
    for line in PRINTS {
        let printed = stage.run(line).await.said;
        let open = |command: &String| capitals.is_match(&command.replace(" DLQ", ""));
        for command in scan::commands(&printed).into_iter().filter(|command| !open(command)) {
            if tried.insert(command.clone()) {
                let ran = stage.shell(&command).await;
                // 3: rows are still rejected.
                let is_well =
                    ran.code == Some(0) || command.starts_with("forebay import") && ran.code == Some(3);
                wrong.extend((!is_well).then(|| format!("{line} printed {command}: {ran:#?}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let replay = "forebay destinations replay crm --from DLQ --config /";
    assert!(tried.iter().any(|command| command.starts_with(replay)), "{tried:#?}");
    // They name the node that the command before them found.
    let node = format!("--admin {}", stage.dev.console);
    let of_import = ["retry-rejects --import orders", "resume orders", "list --import orders"];
    let mut expected = of_import.map(|command| format!("forebay import {command} {node}")).to_vec();
    expected.push("forebay status --all".to_owned());
    assert!(expected.iter().all(|command| tried.contains(command)) && tried.len() > 6, "{tried:#?}");
    assert!(stage.dev.terminate().await.success());
}
