//! `forebay man`: the manual pages of the program and of each command.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::args::{Cli, ManArgs};
use super::failure::Failure;
use crate::disk::own_files;
use crate::words::counted;

/// A manual page: the file's name, such as `forebay-import-csv.1`, and its text.
type Page = (String, Vec<u8>);

/// Prints the page of the program, or writes all pages into a directory.
/// Errors: [`Failure`]: a page cannot be written.
pub fn run(args: &ManArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let pages = pages()?;
    match (&args.dir, pages.first()) {
        (Some(dir), _) => {
            write_all(dir, &pages).map_err(|error| {
                Failure::failed(format!("write manual pages to {}: {error}", dir.display()))
            })?;
            writeln!(out, "{} in {}", counted(pages.len() as u64, "page", "pages"), dir.display())?;
        }
        (None, Some((_, text))) => out.write_all(text)?,
        (None, None) => {}
    }
    Ok(())
}

fn write_all(dir: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|(name, text)| {
        // A link that stands under the name of a page is replaced, not followed.
        own_files::replace(&dir.join(name), 0o644)?.write_all(text)
    })
}

/// The page of the program, then those of its commands.
fn pages() -> io::Result<Vec<Page>> {
    // There is no page about `help`.
    let mut program = Cli::command().disable_help_subcommand(true);
    // `build` gives the commands their whole names.
    program.build();
    let mut pages = Vec::new();
    add(&program, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let page = Man::new(command.clone()).manual("Forebay");
    let mut text = Vec::new();
    page.render(&mut text)?;
    pages.push((page.get_filename(), text));
    command.get_subcommands().try_for_each(|command| add(command, pages))
}
