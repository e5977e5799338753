//! `forebay import pause`, `resume` and `status`.

use std::io::Write;

use super::run::{reached, settled};
use super::run_args::{PauseArgs, StatusArgs};
use crate::admin::Paused;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::cli::status::render::import_lines;
use crate::runtime::terminal;
use crate::runtime::{Background, SystemClock};
use crate::time::Clock as _;
use crate::words::outside_text;

/// Pauses an import, or resumes it.
/// Errors: [`Failure`]: nothing has changed, or what waits in the spool is not delivered.
pub(super) async fn run(
    args: &PauseArgs,
    pause: bool,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let paused = imports.pause(&args.name, pause).await;
    let (paused, ended) = settled(imports, paused, true).await?;
    print_either(out, args.at.json, &paused, || text(&paused))?;
    Ok(ended?)
}

fn text(of: &Paused) -> String {
    let name = outside_text(&of.name);
    match (of.paused, of.enabled) {
        (true, _) => format!("import {name} is paused until `forebay import resume {name}`\n"),
        (false, true) => format!("import {name} works again\n"),
        (false, false) => format!(
            "import {name} is no longer paused, but the configuration has enabled = false for it: set enabled = true\n"
        ),
    }
}

/// Shows imports of buckets.
/// Errors: [`Failure`]: there is no such import, or nothing can be asked.
pub(super) async fn status(
    args: &StatusArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let shown = imports.status(args.name.as_ref()).await;
    let (shown, ended) = settled(imports, shown, false).await?;
    let now = SystemClock::new().wall();
    print_either(out, args.at.json, &shown, || {
        let lines = import_lines(&shown, now.0, terminal::columns(&std::io::stdout()));
        if lines.is_empty() {
            "the configuration has no [[import]]\n".to_owned()
        } else {
            lines.join("\n") + "\n"
        }
    })?;
    Ok(ended?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_import_that_is_not_enabled_says_so() {
        let of = |paused, enabled| text(&Paused { name: "orders".to_owned(), paused, enabled });
        assert!(of(true, true).contains("forebay import resume orders"));
        assert_eq!(of(false, true), "import orders works again\n");
        assert!(of(false, false).contains("enabled = true"));
    }
}
