//! A collector that is served over HTTP, and clients of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::admin::AccessSettings;
use forebay::collector::{CollectorSettings, Policy};
use forebay::ingest::IngestSettings;
use forebay::kafka::appender::Spreads;
use forebay::kafka::collecting::CollectingStatus;
use forebay::node::kafka_collector::KafkaCollector;
use forebay::node::kafka_collector::intake::IntakeParts;
use forebay::node::listeners::{Addresses, AdminAt, Bound};
use forebay::node::outside::Outside;
use forebay::runtime::Shutdown;
use forebay::sources::{ConfiguredSources, SourceId, WriteKeyHash};

use crate::delivered::runtime;
use crate::partition::Partition;
use crate::support::{CALL, until};

/// How long a client waits for an answer: longer than any collector of a test.
const READ: Duration = Duration::from_secs(40);

/// A collector of this process. The write key of a source is its id.
pub(crate) struct Served {
    collector: Option<KafkaCollector>,
    pub(crate) at: SocketAddr,
}

/// What a collector of a test is made with.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) answer_within: Duration,
    pub(crate) spreads: Spreads,
}

impl Default for Serving {
    fn default() -> Self {
        Self { answer_within: Duration::from_secs(15), spreads: Spreads::new() }
    }
}

pub(crate) fn source(id: &str) -> SourceId {
    SourceId::new(id).unwrap()
}

impl Served {
    /// A collector that is ready.
    pub(crate) fn start(partition: &Partition) -> Self {
        Self::with(partition, Serving::default())
    }

    pub(crate) fn with(partition: &Partition, serving: Serving) -> Self {
        let one = Self::not_ready(partition, serving);
        until("the collector to be ready", CALL, || (one.status().partitions > 0).then_some(()));
        one
    }

    /// Waits until an owner has told it the log id, without which there are no receipts.
    pub(crate) fn knows_log_id(&self) {
        until("the collector to know the log id", CALL * 2, || self.status().log_id.map(drop));
    }

    pub(crate) fn not_ready(partition: &Partition, serving: Serving) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let key = |id: &str| (WriteKeyHash::of(id).unwrap(), source(id));
        let sources = ConfiguredSources::new(["web", "ios", "held"].map(key), false);
        let addresses = Addresses {
            public: any,
            tls: None,
            admin: AdminAt {
                listen: any,
                hosts: Vec::new(),
                connections: 16,
                access: AccessSettings::default(),
            },
        };
        let _runtime = runtime().enter();
        let bound = Bound::bind(&addresses).unwrap();
        let parts = IntakeParts {
            kafka: partition.settings.clone(),
            answer_within: serving.answer_within,
            spreads: serving.spreads,
            ingest: IngestSettings { receipts: true, ..IngestSettings::default() },
            collector: CollectorSettings::default(),
            policy: Policy::new(Arc::new(sources)),
        };
        let collector = KafkaCollector::start(parts, bound, &addresses.admin, &Outside::system()).unwrap();
        Self { at: collector.public(), collector: Some(collector) }
    }

    pub(crate) fn status(&self) -> CollectingStatus {
        self.collector.as_ref().unwrap().intake.status()
    }

    /// Shuts down in order.
    pub(crate) fn end(mut self) {
        let collector = self.collector.take().unwrap();
        runtime().block_on(collector.end(Duration::ZERO, &Shutdown::new())).unwrap();
    }
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) after: Duration,
}

impl Answered {
    pub(crate) fn is_stored(&self) -> bool {
        self.status == 200
    }
}

/// A client with one connection.
pub(crate) struct Client {
    at: SocketAddr,
    open: Option<TcpStream>,
    waits: Duration,
}

impl Client {
    pub(crate) fn new(at: SocketAddr) -> Self {
        Self::that_waits(at, READ)
    }

    /// One that waits so long for an answer.
    pub(crate) fn that_waits(at: SocketAddr, waits: Duration) -> Self {
        Self { at, open: None, waits }
    }

    /// Sends a batch of calls with these messageIds, and so many more bytes in each. `None` if there is no answer.
    pub(crate) fn send(&mut self, source: &str, calls: &[String], more: usize) -> Option<Answered> {
        let filler = "x".repeat(more);
        let call = |id: &String| {
            format!(
                r#"{{"type":"track","event":"e","userId":"u","messageId":"{id}","properties":{{"p":"{filler}"}}}}"#
            )
        };
        let calls: Vec<String> = calls.iter().map(call).collect();
        self.post(source, &format!(r#"{{"batch":[{}]}}"#, calls.join(",")))
    }

    /// Sends a body. `None` if there is no answer.
    pub(crate) fn post(&mut self, source: &str, body: &str) -> Option<Answered> {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{source}:"));
        let request = format!(
            "POST /v1/batch HTTP/1.1\r\nhost: c\r\nauthorization: Basic {auth}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        let mut stream = match self.open.take() {
            Some(open) => open,
            None => TcpStream::connect(self.at).ok()?,
        };
        stream.set_read_timeout(Some(self.waits)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let (head, body) = read_answer(&mut stream)?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        };
        let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
        if headers.get("connection").is_none_or(|value| value != "close") {
            self.open = Some(stream);
        }
        Some(Answered { status, headers, body, after: began.elapsed() })
    }
}

fn read_answer(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0_u8; 4_096];
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}
