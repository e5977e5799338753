//! `forebay status`: the state of a running collector: problems, spool, waiting calls, latest deliveries.

mod collector;
pub mod render;
pub mod steering;
mod watch;

use std::io::{self, Write};

use super::args::StatusArgs;
use super::failure::Failure;
use super::print_json::print_json;
use crate::node::chosen_target::ADMIN_URL;
use crate::runtime::colour;
use crate::runtime::paint::painted;
use crate::words::TypedOptions;

use collector::{Collector, view};
use render::{MARKS, render};

/// Queries the status and prints it, once or until an interrupt.
/// Errors: [`Failure`]: the collector does not answer, or refuses.
pub async fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut collector = Collector::new(args.admin.client()?);
    if args.watch {
        return watch::run(args, &mut collector, out).await;
    }
    if args.json {
        print_json(out, &collector.value(args.source.as_ref()).await?)?;
        return Ok(());
    }
    let status = collector.status(args.source.as_ref()).await?;
    let view = view(args, collector.activity.as_ref());
    let text = painted(&render(&status, &view), &MARKS, colour::wanted(&io::stdout()));
    let admin = (args.admin.url.to_string() != ADMIN_URL).then(|| args.admin.url.to_string());
    let typed = TypedOptions { config: None, admin };
    out.write_all(typed.added_to(&text).as_bytes())?;
    Ok(())
}
