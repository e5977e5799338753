//! Destinations for people. Pure.

use crate::admin::{AllDestinations, Attempts, ClassCount, DestinationStatus, FunctionStatus};
use crate::time::UnixMillis;
use crate::words::table::wrapped;
use crate::words::{counted, grouped, outside_text, rfc3339, shell_word};

/// The text about every destination.
pub(super) fn all(all: &AllDestinations) -> String {
    if all.destinations.is_empty() {
        return "no destinations: the configuration has no [[destination]]\n".to_owned();
    }
    all.destinations.iter().map(destination).collect::<Vec<_>>().join("\n")
}

/// The text about one destination and its last attempts.
pub(super) fn one(one: &DestinationStatus, attempts: &Attempts) -> String {
    let mut text = destination(one);
    text.push('\n');
    if attempts.attempts.is_empty() {
        text.push_str("no attempts since the start\n");
    }
    for attempt in &attempts.attempts {
        let ended = attempt.failed.as_ref().map_or("delivered", |failed| &failed.shown);
        let again =
            if attempt.attempt > 1 { format!(", attempt {}", attempt.attempt) } else { String::new() };
        let said = [("request", &attempt.request_id), ("version", &attempt.version)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!(", {name} {}", outside_text(value.as_deref()?))))
            .collect::<String>();
        text += &format!(
            "{}  {ended}: {} {} of {}, {} ms{again}{said}\n",
            rfc3339(UnixMillis(attempt.at_ms)),
            outside_text(&attempt.kind),
            outside_text(&attempt.message_id),
            attempt.source,
            grouped(attempt.millis),
        );
        if let Some(what) = attempt.failed.as_ref().map(|failed| &failed.what).filter(|what| !what.is_empty())
        {
            for part in wrapped("    ", &outside_text(what).to_string()) {
                text += &format!("{part}\n");
            }
        }
        for log in attempt.log_tail.iter().flat_map(|tail| tail.lines()) {
            text += &format!("    | {}\n", outside_text(log));
        }
    }
    if attempts.masked {
        text.push_str("(error texts and logs of functions are hidden: they may hold personal data; see admin.live_view)\n");
    }
    text
}

fn destination(one: &DestinationStatus) -> String {
    let removed = if one.removed { ", no longer configured: it sends what waits" } else { "" };
    let mut text = format!("{} ({}{removed})\n", one.name, one.kind);
    text += &format!("  delivered     {} since the start\n", grouped(one.succeeded));
    if !one.failed.is_empty() {
        let attempts = one.failed.iter().map(|class| class.count).sum();
        let attempts = counted(attempts, "attempt", "attempts");
        text += &format!("  failed        {attempts}: {}\n", ClassCount::words(&one.failed));
    }
    if !one.dead.is_empty() || one.dead_stored > 0 {
        let recent = if one.dead.is_empty() {
            "none since the start".to_owned()
        } else {
            ClassCount::words(&one.dead)
        };
        text += &format!(
            "  dead letters  {recent}; {} in all{}\n",
            grouped(one.dead_stored),
            one.sent_again_words()
        );
        if let Some(why) = &one.dead_unknown {
            wrapped("                ", &outside_text(why).to_string())
                .iter()
                .for_each(|line| text += &format!("{line}\n"));
        }
        if !one.removed && one.dead_left() > 0 {
            let config = one.config.as_ref().map(|file| format!(" --config {}", shell_word(file)));
            let config = config.unwrap_or_default();
            text += &format!("  send again    forebay destinations replay {} --from DLQ{config}\n", one.name);
        }
    }
    for function in &one.functions {
        of_function(&mut text, function);
    }
    text
}

fn of_function(text: &mut String, function: &FunctionStatus) {
    let words = function.state_words();
    *text += &format!("  {}{words}\n", function.function);
    if let Some(failing) = &function.failing {
        let mut said = failing.shown.clone();
        if !failing.what.is_empty() {
            said += &format!(": {}", outside_text(&failing.what));
        }
        for part in wrapped("    ", &said).iter().chain(&wrapped("    to do: ", &failing.remedy)) {
            *text += &format!("{part}\n");
        }
    }
    if function.lost > 0 {
        let lost = counted(function.lost, "call is lost", "calls are lost");
        *text +=
            &format!("    {lost} at most, because its queue or the spool is damaged: see the alarm damage\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Attempt, FailureStatus};

    #[test]
    fn what_failed_and_what_to_do_is_shown() {
        let failing = FailureStatus {
            shown: "Accessdenied".to_owned(),
            what: "403: no".to_owned(),
            remedy: "allow it".to_owned(),
            ..FailureStatus::default()
        };
        let crm = DestinationStatus {
            name: "crm".to_owned(),
            kind: "lambda".to_owned(),
            succeeded: 1_234,
            failed: vec![ClassCount { shown: "Accessdenied".to_owned(), count: 2, ..ClassCount::default() }],
            functions: vec![FunctionStatus {
                function: "arn:x".to_owned(),
                types: vec!["track".to_owned()],
                waiting: 7,
                unread: 54,
                queued_bytes: 2_000_000,
                open_since_ms: Some(0),
                failing: Some(failing.clone()),
                ..FunctionStatus::default()
            }],
            ..DestinationStatus::default()
        };
        let text = all(&AllDestinations { destinations: vec![crm.clone()], held_bytes: 0 });
        assert_eq!(
            text,
            "crm (lambda)\n  delivered     1,234 since the start\n  failed        2 attempts: 2 Accessdenied\n  arn:x for track: gets a call \
             only now and then since 1970-01-01T00:00:00.000Z, 7 calls wait, 54 lines of the spool not read yet, 2 MB \
             queued\n    Accessdenied: 403: no\n    to do: allow it\n"
        );
        let attempt = Attempt {
            kind: "track".to_owned(),
            message_id: "m\u{1b}".to_owned(),
            source: "web".to_owned(),
            attempt: 2,
            millis: 5,
            failed: Some(failing),
            log_tail: Some("a\nb".to_owned()),
            ..Attempt::default()
        };
        let text = one(&crm, &Attempts { attempts: vec![attempt], masked: true });
        let shown = "Accessdenied: track m\\u{1b} of web, 5 ms, attempt 2\n    403: no\n    | a\n    | b\n(error texts";
        assert!(text.contains(shown), "{text}");
        let executed = |waiting: u64| DestinationStatus {
            dead_stored: 3,
            dead: vec![ClassCount { shown: "Execution Error".to_owned(), count: 1, ..ClassCount::default() }],
            functions: vec![FunctionStatus {
                open_since_ms: None,
                waiting,
                unread: 0,
                queued_bytes: 0,
                ..crm.functions[0].clone()
            }],
            ..crm.clone()
        };
        let text = |waiting| destination(&executed(waiting));
        let again = "  dead letters  1 Execution Error; 3 in all\n  send again    forebay destinations replay crm --from DLQ\n";
        assert!(text(0).contains(again), "{}", text(0));
        assert!(
            text(0).contains("  arn:x for track: nothing waits, but the last call failed\n    Accessdenied")
        );
        let before = DestinationStatus { dead_stored: 3, ..crm.clone() };
        assert!(
            destination(&before).contains("  dead letters  none since the start; 3 in all\n  send again")
        );
        let named = DestinationStatus { config: Some("/my files/dev.toml".into()), ..before };
        assert!(destination(&named).contains(" crm --from DLQ --config '/my files/dev.toml'\n"));
        assert!(text(2).contains("  arn:x for track: 2 calls wait\n"));
        // What a replay delivered is no longer asked for.
        let replayed = |sent, unknown: Option<&str>| {
            let (dead_sent_again, dead_unknown) = (sent, unknown.map(str::to_owned));
            destination(&DestinationStatus { dead_sent_again, dead_unknown, ..executed(0) })
        };
        assert!(replayed(2, None).contains("; 3 in all, 2 sent again, 1 left\n  send again"));
        let all_sent = replayed(3, None);
        assert!(
            all_sent.contains("; 3 in all, all sent again\n") && !all_sent.contains("replay"),
            "{all_sent}"
        );
        let denied = replayed(0, Some("it may not read"));
        let shown = "; 3 in all, how many were sent again is not known\n                it may not read\n  send again";
        assert!(denied.contains(shown), "{denied}");
        assert!(all(&AllDestinations::default()).starts_with("no destinations"));
    }
}
