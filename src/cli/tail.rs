//! `forebay tail`: the calls of a running collector as they arrive.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;

use super::args::TailArgs;
use super::failure::Failure;
use crate::admin_client::events::{Event, EventParser};
use crate::admin_client::live_lines::{Calls, Layout, LiveCall, Refused, one_line};
use crate::admin_client::{AdminClient, AskError};
use crate::live::RefusedGroup;
use crate::live::recent::{CALLS_MAX, REJECTED_MAX};
use crate::live::refused_groups::GROUPS_MAX;
use crate::live::view::Counts;
use crate::runtime::colour;
use crate::runtime::terminal::{self, Interrupts};
use crate::time::UnixMillis;
use crate::words::{about_seconds, counted, with_causes};

/// The time limit for the beginning of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest silence. A collector sends something each second, so the connection then counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The pause before the next connection: after each failure twice as long, up to the maximum.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How often the command checks whether anybody still reads its output.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints calls until a signal, or until nobody reads them.
/// Errors: [`Failure`] if the collector cannot be reached at the beginning, or refuses.
pub async fn run(args: &TailArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let client = args.admin.client()?;
    let mut interrupts = Interrupts::listen()?;
    let (path, mut tail) = (path(args), Tail::new(args, out));
    let work = async {
        if let Some(id) = &args.source {
            client.has_source_in(id.as_str(), &client.ask(Method::GET, "/api/status", PATIENCE).await?)?;
        }
        follow(&client, &path, &mut tail).await
    };
    tokio::select! {
        () = interrupts.next() => Ok(()),
        done = work => done,
    }
}

/// The path and query of the live view with these filters.
fn path(args: &TailArgs) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let source = args.source.as_ref().map(ToString::to_string);
    let filters = [("source", source), ("type", args.kind.clone()), ("text", args.grep.clone())];
    for (name, value) in filters {
        value.map(|value| query.append_pair(name, &value));
    }
    match query.finish() {
        query if query.is_empty() => "/api/live".to_owned(),
        query => format!("/api/live?{query}"),
    }
}

async fn follow(client: &AdminClient, path: &str, tail: &mut Tail<'_>) -> Result<(), Failure> {
    let (mut again, mut connected) = (AGAIN_FIRST, false);
    loop {
        let why = match client.stream(path, PATIENCE).await {
            Ok(stream) => {
                if connected {
                    tracing::info!("connected again to {}", client.url());
                }
                (again, connected) = (AGAIN_FIRST, true);
                match tail.read(stream).await? {
                    None => return Ok(()),
                    Some(why) => format!("the connection to {} is lost: {why}", client.url()),
                }
            }
            Err(error) if connected && !error.is_lasting() => with_causes(&error),
            Err(AskError::Refused { url, status: StatusCode::NOT_FOUND, code, .. })
                if code == "not_found" =>
            {
                return Err(Failure::failed(format!(
                    "{url} has no live view: the collector is older than this command"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        tracing::warn!("{why}; connecting again in {}", about_seconds(again.as_secs()));
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = unread() => return Ok(()),
        }
        again = again.saturating_mul(2).min(AGAIN_MAX);
    }
}

/// Waits until nobody reads standard output any more.
async fn unread() {
    while !terminal::is_unread(&io::stdout()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Calls that are remembered as printed: more than a collector sends again.
const PRINTED_MAX: usize = 2 * (CALLS_MAX + REJECTED_MAX);

/// What the live view hides.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Hello {
    view: String,
}

/// Calls that this viewer was too slow for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Missed {
    calls: u64,
}

struct Tail<'a> {
    out: &'a mut dyn Write,
    json: bool,
    layout: Layout,
    /// Messages that were said; each is said once.
    said: BTreeMap<&'static str, ()>,
    /// The calls that were printed last. After a new connection the collector may send them again.
    printed: VecDeque<(i64, u64)>,
    /// The groups of refused requests that were printed last, with their last times.
    refused: VecDeque<(u64, UnixMillis)>,
}

impl<'a> Tail<'a> {
    fn new(args: &TailArgs, out: &'a mut dyn Write) -> Self {
        let stdout = io::stdout();
        let layout = Layout::new(terminal::columns(&stdout), colour::wanted(&stdout));
        let (said, printed, refused) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        Self { out, json: args.json, layout, said, printed, refused }
    }

    /// Reads until the connection is lost, and says why; a new one may work. `None`: nobody reads the output
    /// any more.
    async fn read(&mut self, mut stream: Incoming) -> Result<Option<String>, Failure> {
        let (mut parser, mut events) = (EventParser::default(), Vec::new());
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(SILENCE_MAX, stream.frame()) => frame,
                () = unread() => return Ok(None),
            };
            let bytes = match frame {
                Err(_) => {
                    let silence = about_seconds(SILENCE_MAX.as_secs());
                    return Ok(Some(format!("nothing came for {silence}")));
                }
                Ok(None) => return Ok(Some("the collector ended it".to_owned())),
                Ok(Some(Err(error))) => return Ok(Some(with_causes(&error))),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            parser.take(&bytes, &mut events);
            let dropped = parser.take_dropped();
            if dropped > 0 {
                tracing::warn!("{} too long to show", counted(dropped, "event was", "events were"));
            }
            for event in events.drain(..) {
                match self.event(&event) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event.kind.as_str() {
            "hello" => {
                let hello: Hello = serde_json::from_str(&event.data)?;
                if hello.view == "masked" {
                    self.say_once(
                        "users, traits and addresses are hidden: the collector's admin.live_view is \"masked\"",
                    );
                }
                self.header()
            }
            "calls" => self.calls(&event.data),
            "refused" => self.refused(&event.data),
            "count" => {
                let Counts { stored, rejected, shown } = serde_json::from_str(&event.data)?;
                if stored.saturating_add(rejected) > shown {
                    self.say_once("more calls arrive than are shown: this is a sample");
                }
                Ok(())
            }
            "missed" => {
                let Missed { calls } = serde_json::from_str(&event.data)?;
                let calls = counted(calls, "call is", "calls are");
                tracing::warn!("{calls} not shown: more came than could be read");
                Ok(())
            }
            // A newer collector may send more.
            _ => Ok(()),
        }
    }

    fn say_once(&mut self, what: &'static str) {
        if self.said.insert(what, ()).is_none() {
            tracing::info!("{what}");
        }
    }

    /// The names of the columns, for a person.
    fn header(&mut self) -> io::Result<()> {
        let is_first = self.said.insert("header", ()).is_none();
        if self.json || !is_first || !io::stdout().is_terminal() {
            return Ok(());
        }
        writeln!(self.out, "{}", self.layout.header())?;
        self.out.flush()
    }

    fn calls(&mut self, data: &str) -> io::Result<()> {
        let Calls { calls, recent } = serde_json::from_str(data)?;
        self.layout.resize(terminal::columns(&io::stdout()));
        let mut new = Vec::with_capacity(calls.len());
        for sent in calls {
            let call: LiveCall = serde_json::from_str(sent.get())?;
            if recent && self.printed.contains(&call.place()) {
                continue;
            }
            self.printed.push_back(call.place());
            if self.printed.len() > PRINTED_MAX {
                self.printed.pop_front();
            }
            self.layout.make_room(&call);
            new.push((sent, call));
        }
        for (sent, call) in new {
            let line = if self.json { one_line(sent.get()) } else { self.layout.line(&call) };
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn refused(&mut self, data: &str) -> io::Result<()> {
        let Refused { groups } = serde_json::from_str(data)?;
        self.layout.resize(terminal::columns(&io::stdout()));
        for sent in groups {
            let group: RefusedGroup = serde_json::from_str(sent.get())?;
            // A later group may have the number of an earlier one, if the collector was started again.
            let known = self.refused.iter().position(|(id, last)| *id == group.id && *last >= group.first);
            let before = known.and_then(|at| self.refused.remove(at));
            self.refused.push_back((group.id, group.last));
            if self.refused.len() > GROUPS_MAX {
                self.refused.pop_front();
            }
            if before.is_some_and(|(_, last)| last == group.last) {
                continue;
            }
            let text =
                if self.json { one_line(sent.get()) } else { self.layout.refused(&group, before.is_some()) };
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}
