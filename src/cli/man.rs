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

/// One manual page.
struct Page {
    /// The file's name, such as `forebay-import-csv.1`.
    name: String,
    text: Vec<u8>,
}

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
        (None, Some(first)) => out.write_all(&first.text)?,
        (None, None) => {}
    }
    Ok(())
}

fn write_all(dir: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| {
        // A link that stands under the name of a page is replaced, not followed.
        own_files::replace(&dir.join(&page.name), 0o644)?.write_all(&page.text)
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
    pages.push(Page { name: page.get_filename(), text });
    command.get_subcommands().try_for_each(|command| add(command, pages))
}
