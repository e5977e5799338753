//! `forebay import setup-notifications`: the bucket of an import sends notifications to its queue.

use std::fmt::Write as _;
use std::io::Write;

use super::run::grant;
use super::run_args::SetupNotificationsArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::cli::serve;
use crate::node::bucket_imports::{NotificationsSetUp, SetUp, set_up_notifications};
use crate::words::counted;

/// Sets up the notifications of a bucket, or undoes that. Errors: [`Failure`]: see the exit codes.
pub(super) async fn run(args: &SetupNotificationsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = serve::load_for_setup(&args.config)?;
    let asked = SetUp { undo: args.undo, dry_run: args.dry_run };
    match set_up_notifications(&config, &args.name, asked).await {
        Ok(done) => Ok(print_either(out, args.json, &done, || text(&done))?),
        Err(failed) => {
            if !failed.grants.is_empty() {
                print_either(out, args.json, &failed, || failed.grants.iter().map(grant).collect())?;
            }
            Err(failed.why.into())
        }
    }
}

fn text(done: &NotificationsSetUp) -> String {
    let NotificationsSetUp { import, bucket, removed, added, is_there, .. } = done;
    let would = if done.dry_run { "would be " } else { "" };
    let mut text = String::new();
    for (rules, what) in [(removed.iter(), "removed"), (added.as_slice().iter(), "added")] {
        rules.for_each(|rule| _ = writeln!(text, "{would}{what}: {rule}"));
    }
    if text.is_empty() {
        _ = writeln!(text, "nothing to do for import {import} in bucket {bucket}");
    }
    is_there.iter().for_each(|rule| _ = writeln!(text, "is there: {rule}"));
    let others = [
        (done.other_queues, "queue", "queues"),
        (done.other_topics, "topic", "topics"),
        (done.other_functions, "function", "functions"),
    ];
    let others = others.into_iter().filter(|(count, ..)| *count > 0);
    let others = others.map(|(count, one, many)| counted(count as u64, one, many));
    let others: Vec<String> = others.chain(done.event_bridge.then(|| "EventBridge".to_owned())).collect();
    if !others.is_empty() {
        _ = writeln!(text, "stays as it is: what the bucket sends to {}", others.join(", "));
    }
    text
}
