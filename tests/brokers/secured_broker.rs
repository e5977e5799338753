//! One broker that asks for names and passwords (SASL/PLAIN), and checks rights.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::cluster::{CLUSTER_ID, folder, free_ports, jars, java};
use crate::partition::Partition;
use crate::support::{CALL, until};

/// Users, each with its name as its password. `admin` may do everything.
const USERS: [&str; 3] = ["admin", "collects", "writes"];
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
";

/// The broker. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Secured {
    port: u16,
    process: Child,
    /// It ends the broker once its input does.
    _keeper: Child,
}

/// A right, as the broker's protocol has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    principal: String,
    /// Topic, group or transactional id.
    kind: u8,
    name: String,
    is_prefix: bool,
    pub(crate) operation: String,
}

impl Secured {
    /// Starts one. `None`: the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        let jars = jars()?;
        let (folder, keeper) = folder();
        let ports = free_ports(2);
        let (port, controller) = (ports[0], ports[1]);
        let data = folder.join("1");
        fs::create_dir(&data).unwrap();
        let users: String = USERS.iter().map(|user| format!(" user_{user}=\"{user}\"")).collect();
        let settings = format!(
            "{SETTINGS}log.dirs={}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
             required username=\"admin\" password=\"admin\"{users};\n",
            data.display(),
        );
        let file = folder.join("1.properties");
        fs::write(&file, settings).unwrap();
        let mut format = java(&jars, &folder, 1, "kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(&file);
        assert!(format.spawn().unwrap().wait().unwrap().success(), "{}", folder.display());
        let mut process = java(&jars, &folder, 1, "kafka.Kafka").arg(&file).spawn().unwrap();
        fs::write(folder.join("1.pid"), process.id().to_string()).unwrap();
        let client: BaseConsumer = {
            let mut config = rdkafka::ClientConfig::new();
            config.set("bootstrap.servers", format!("127.0.0.1:{port}"));
            config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
            for (name, value) in login("admin") {
                config.set(name, value);
            }
            config.create().unwrap()
        };
        until("the broker to be up", CALL * 6, || {
            let said = folder.join("1.log");
            assert_eq!(process.try_wait().unwrap(), None, "{}", fs::read_to_string(said).unwrap());
            client.fetch_metadata(None, Duration::from_secs(2)).ok()
        });
        Some(Self { port, process, _keeper: keeper })
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A log, as this user knows it.
    pub(crate) fn partition(&self, name: &str, user: &str) -> Partition {
        let mut partition = Partition::named(&self.address(), name);
        partition.settings.more = login(user);
        partition
    }

    /// Does what commands of `kafka-acls.sh` say.
    pub(crate) fn grant(&self, acls: &[Acl]) {
        let mut body = i32::try_from(acls.len()).unwrap().to_be_bytes().to_vec();
        for acl in acls {
            acl.resource(&mut body);
            // Allowed.
            body.push(3);
        }
        // One result for each: no error, no text.
        let answer = self.ask(30, &body);
        assert_eq!(answer.len(), 8 + acls.len() * 4, "{answer:?}");
        assert!(answer[8..].chunks(4).all(|one| one[..2] == [0, 0]), "{answer:?}");
    }

    /// Takes one right away.
    pub(crate) fn revoke(&self, acl: &Acl) {
        let mut body = 1_i32.to_be_bytes().to_vec();
        acl.resource(&mut body);
        body.push(3);
        let answer = self.ask(31, &body);
        assert_eq!(answer[8..10], [0, 0], "{answer:?}");
    }

    /// Asks as `admin`: requests of `api` have version 1 of their form. Returns the body of the answer.
    fn ask(&self, api: i16, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut hello = Vec::new();
        text(&mut hello, "PLAIN");
        exchange(&mut stream, 17, 1, &hello);
        let secret = b"\0admin\0admin";
        let mut login = i32::try_from(secret.len()).unwrap().to_be_bytes().to_vec();
        login.extend_from_slice(secret);
        exchange(&mut stream, 36, 1, &login);
        exchange(&mut stream, api, 1, body)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.process.kill().unwrap_or(());
        self.process.wait().map(drop).unwrap_or(());
    }
}

impl Acl {
    /// The rights that a command of `kafka-acls.sh` gives.
    pub(crate) fn of(command: &str) -> Vec<Self> {
        let words = shlex::split(command).unwrap();
        assert_eq!(words[0], "kafka-acls.sh");
        let after = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].clone());
        let kinds = [("--topic", 2), ("--group", 3), ("--transactional-id", 5)];
        let (kind, name) = kinds.iter().find_map(|(flag, kind)| Some((*kind, after(flag)?))).unwrap();
        let operations = words.windows(2).filter(|two| two[0] == "--operation").map(|two| two[1].clone());
        let is_prefix = after("--resource-pattern-type").as_deref() == Some("prefixed");
        let principal = after("--allow-principal").unwrap();
        operations
            .map(|operation| Self {
                principal: principal.clone(),
                kind,
                name: name.clone(),
                is_prefix,
                operation,
            })
            .collect()
    }

    /// Whether it is on a group.
    pub(crate) fn is_of_group(&self) -> bool {
        self.kind == 3
    }

    /// Whether it is on the topic with this name.
    pub(crate) fn is_of_topic(&self, name: &str) -> bool {
        self.kind == 2 && self.name == name
    }

    /// Whether it is on transactional ids.
    pub(crate) fn is_of_transactions(&self) -> bool {
        self.kind == 5
    }

    /// Its bytes in a request, without whether it is allowed.
    fn resource(&self, body: &mut Vec<u8>) {
        body.push(self.kind);
        text(body, &self.name);
        body.push(if self.is_prefix { 4 } else { 3 });
        text(body, &self.principal);
        text(body, "*");
        body.push(match self.operation.as_str() {
            "Read" => 3,
            "Write" => 4,
            "Delete" => 6,
            "Describe" => 8,
            "DescribeConfigs" => 10,
            other => panic!("{other}"),
        });
    }
}

/// Settings of a client of this user.
fn login(user: &str) -> Vec<(String, String)> {
    let all = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", user),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&i16::try_from(text.len()).unwrap().to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

/// Sends a request, and returns its answer after the number that both have.
fn exchange(stream: &mut TcpStream, api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = [api.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend_from_slice(&7_i32.to_be_bytes());
    text(&mut request, "tests");
    request.extend_from_slice(body);
    let len = u32::try_from(request.len()).unwrap();
    stream.write_all(&[&len.to_be_bytes()[..], &request].concat()).unwrap();
    let mut len = [0; 4];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    answer[4..].to_vec()
}
