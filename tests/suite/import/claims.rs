//! Several instances over one bucket, each with a spool of its own: each row is stored by one of them,
//! whatever happens to them and to the journal that they share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use forebay::import::bucket_import::{
    After, BucketImport, OnChange, PassDeps, PassError, PassReport, ResetError, pass, reset_object,
    retry_rejects,
};
use forebay::import::claims::{
    ClaimFiles, ClaimsError, FilesPage, Releasing, SharedImport, Undelivered, claim_name, claimed_files,
    rename_shared,
};
use forebay::import::journal::Journal;
use forebay::import::s3_records::S3Records;
use forebay::import::shared_progress::{Answer, Stored, Tag, WriteError};
use forebay::import::{ImportId, NameError, named};
use forebay::runtime::SystemRandom;
use forebay::sources::SourceId;
use forebay::store::fake::{FakeStore, Gate, Step};
use serde_json::Value;

use super::bucket::{calls, deps, died_at, events, files, import, import_as, killed_at, lines, put};
use super::importer::{Node, node};
use crate::support::wait;

const JOURNAL: &str = "journal";
const URL: &str = "s3://journal/forebay/";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Rows of a file that has several steps.
const ROWS: usize = 4_500;

/// Says whether all rows of an instance are in the bucket of the calls.
#[derive(Debug, Default)]
struct Deliveries(AtomicBool);

impl Undelivered for Deliveries {
    fn undelivered(&self, _: &SourceId) -> Option<(u64, u64)> {
        (!self.0.load(Ordering::SeqCst)).then_some((0, u64::MAX))
    }
}

struct Instance {
    node: Node,
    shared: Arc<SharedImport>,
    deliveries: Arc<Deliveries>,
}

impl Instance {
    fn of(node: Node, store: &FakeStore) -> Self {
        Self::over(node, Arc::new(records(store)))
    }

    fn over(node: Node, files: Arc<dyn ClaimFiles>) -> Self {
        let (deliveries, id) = (Arc::new(Deliveries::default()), node.spool.reports().spool_id());
        let delivered = Arc::clone(&deliveries) as _;
        let shared = SharedImport::new(files, URL.to_owned(), id, delivered, Arc::new(SystemRandom));
        Self { node, shared: Arc::new(shared), deliveries }
    }

    fn new(store: &FakeStore) -> Self {
        Self::of(node(), store)
    }

    fn id(&self) -> &str {
        self.shared.instance()
    }

    fn import(&self) -> BucketImport {
        BucketImport { claims: Some(Arc::clone(&self.shared)), ..import(&self.node) }
    }

    async fn try_pass(&self, store: &FakeStore) -> Result<PassReport, PassError> {
        pass(Arc::new(self.import()), deps(&self.node, store)).await
    }

    async fn passed(&self, store: &FakeStore) -> PassReport {
        self.try_pass(store).await.unwrap()
    }

    /// The instance after a kill in a pass that waits for its step number `steps`.
    async fn killed_at(self, store: &FakeStore, steps: i64, stores_last: bool) -> Self {
        let import = self.import();
        Self::of(killed_at(self.node, store, import, steps, stores_last).await, store)
    }

    fn deliver(&self) {
        self.deliveries.0.store(true, Ordering::SeqCst);
    }

    fn import_id(&self) -> ImportId {
        named(&*self.node.journal, "events").unwrap().unwrap().id
    }
}

fn records(store: &FakeStore) -> S3Records {
    S3Records::named("journal", URL, Arc::new(store.clone())).unwrap()
}

/// The claims in the store, by the keys of their files.
fn claims(store: &FakeStore) -> BTreeMap<String, Value> {
    let mut claims = BTreeMap::new();
    for (bucket, key) in store.keys() {
        if bucket == JOURNAL && !key.contains("/names/") && !key.ends_with("/conditions.json") {
            let claim: Value = serde_json::from_slice(&store.object(&bucket, &key).unwrap().bytes).unwrap();
            let of = claim["key"].as_str().unwrap().to_owned();
            assert!(key.ends_with(&format!("/{}.json", claim_name(&of))), "{key}");
            claims.insert(of, claim);
        }
    }
    claims
}

fn states(store: &FakeStore) -> Vec<(String, String)> {
    let state = |(key, claim): (String, Value)| (key, claim["state"].as_str().unwrap().to_owned());
    claims(store).into_iter().map(state).collect()
}

/// How often each event is stored by these instances together, and with which messageIds.
fn stored(instances: &[&Instance]) -> BTreeMap<String, Vec<String>> {
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in instances.iter().flat_map(|instance| calls(&instance.node)) {
        if call["type"] == "track" {
            let event = call["event"].as_str().unwrap().to_owned();
            stored.entry(event).or_default().push(call["messageId"].as_str().unwrap().to_owned());
        }
    }
    stored
}

#[track_caller]
fn check_once(instances: &[&Instance], expected: impl IntoIterator<Item = String>) {
    let stored = stored(instances);
    let twice: Vec<_> = stored.iter().filter(|(_, ids)| ids.len() != 1).take(5).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    let (found, expected): (BTreeSet<String>, BTreeSet<String>) =
        (stored.into_keys().collect(), expected.into_iter().collect());
    assert_eq!(
        found.len(),
        expected.len(),
        "{:?}",
        found.symmetric_difference(&expected).take(5).collect::<Vec<_>>()
    );
    assert_eq!(found, expected);
}

async fn filled(names: &[&str], rows: usize) -> FakeStore {
    let store = FakeStore::new();
    for name in names {
        put(&store, &format!("in/{name}.json"), lines(name, rows)).await;
    }
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_share_a_bucket_and_each_row_is_stored_once() {
    let names: Vec<String> = (0..20).map(|number| format!("f{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = filled(&names, 50).await;
    let all = || names.iter().flat_map(|name| events(name, 50));
    let [a, b, c] = std::array::from_fn(|_| Instance::new(&store));
    for _ in 0..3 {
        let (of_a, of_b, of_c) = tokio::join!(a.passed(&store), b.passed(&store), c.passed(&store));
        for report in [of_a, of_b, of_c] {
            assert!(report.not_done.is_empty() && report.claims.problem.is_none(), "{report:?}");
        }
    }
    check_once(&[&a, &b, &c], all());
    assert_eq!([a.import_id(), b.import_id()], [c.import_id(); 2], "one id");
    assert!(states(&store).iter().all(|(_, state)| state == "open"), "{:?}", states(&store));
    // All of b is delivered, and the others know it by the next listing.
    b.deliver();
    b.passed(&store).await;
    let of_b = claims(&store).into_iter().filter(|(_, claim)| claim["instance"] == b.id());
    let of_b: Vec<(String, Value)> = of_b.collect();
    for (key, claim) in &of_b {
        assert_eq!((&claim["state"], &claim["rows"]), (&"delivered".into(), &50.into()), "{key}");
    }
    let seen = a.passed(&store).await;
    let of_a = claims(&store).values().filter(|claim| claim["instance"] == a.id()).count() as u64;
    assert_eq!((seen.claims.claimed, seen.known), (20 - of_a, of_a), "{seen:?}");
    assert!(!seen.claims.waiting.contains_key(b.id()), "{:?}", seen.claims);
    let of_c = claims(&store).values().filter(|claim| claim["instance"] == c.id()).count() as u64;
    assert_eq!(seen.claims.waiting.get(c.id()).map_or(0, |waiting| waiting.files), of_c);
    let (listed, total) = claimed_files(&*a.node.journal, "events", a.id(), 5).unwrap();
    assert_eq!((listed.len() as u64, total), (5.min(20 - of_a), 20 - of_a));
    // A fourth one reads the claims, and writes none.
    let (d, puts) = (Instance::new(&store), store.puts());
    let seen = d.passed(&store).await;
    assert_eq!((seen.claims.claimed, seen.rows), (20, 0), "{seen:?}");
    // The next pass asks for none of them.
    let ranges = store.ranges().len();
    d.passed(&store).await;
    let asked = (store.ranges().len() - ranges, store.puts() - puts);
    assert_eq!(asked, (1, 1), "the name, and one put that shows that conditions are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_are_killed_at_any_step_go_on_with_their_own_files() {
    for steps in 0..3 {
        for stores_last in [false, true] {
            let store = filled(&["a", "b"], ROWS).await;
            let mut instances = vec![Instance::new(&store), Instance::new(&store), Instance::new(&store)];
            for _ in 0..2 {
                // The first of those that have nothing yet begins the next file, and is killed.
                let one = instances.remove(0);
                instances.push(one.killed_at(&store, steps, stores_last).await);
            }
            let third = instances.first().unwrap().passed(&store).await;
            assert_eq!((third.claims.claimed, third.rows), (2, 0), "{third:?}");
            assert_eq!(third.claims.waiting.len(), 2, "{third:?}");
            for instance in &instances {
                let report = instance.passed(&store).await;
                assert!(report.not_done.is_empty(), "{report:?}");
            }
            let [c, a, b] = instances.as_slice() else { panic!() };
            check_once(&[a, b, c], events("a", ROWS).chain(events("b", ROWS)));
            for instance in [a, b] {
                instance.deliver();
                instance.passed(&store).await;
            }
            assert!(states(&store).iter().all(|(_, state)| state == "delivered"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_before_a_kill_is_closed_by_the_next_process() {
    let store = filled(&["a"], 50).await;
    let one = Instance::new(&store);
    one.passed(&store).await;
    let next = Instance::of(one.node.killed(), &store);
    next.passed(&store).await;
    assert_eq!(states(&store), [("in/a.json".to_owned(), "open".to_owned())]);
    next.deliver();
    next.passed(&store).await;
    assert_eq!(states(&store), [("in/a.json".to_owned(), "delivered".to_owned())]);
    let rows = claims(&store).remove("in/a.json").unwrap();
    assert_eq!((&rows["rows"], &rows["revision"]), (&50.into(), &2.into()), "two requests a file: {rows}");
}

/// Found by the simulation: it noted that files had begun, the name was not made, and another instance made it then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_cannot_list_the_claims_at_first_has_no_history_of_its_own() {
    let store = filled(&["a"], 50).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    // Of the name, and of the claims.
    store.script_reads([Step::Proper, Step::REFUSED]);
    let error = one.try_pass(&store).await.unwrap_err();
    assert!(matches!(error, PassError::Claims(ClaimsError::Unusable(_))), "{error}");
    assert!(named(&*one.node.journal, "events").unwrap().unwrap().fixed.is_none());
    other.passed(&store).await;
    let seen = one.passed(&store).await;
    assert_eq!((seen.claims.claimed, seen.rows), (1, 0), "{seen:?}");
    check_once(&[&one, &other], events("a", 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_put_may_fail_or_lose_its_answer() {
    type Fails = fn() -> Step;
    let kinds: [Fails; 5] =
        [|| Step::LoseAnswer, || Step::RESET, || Step::SLOW_DOWN, || Step::EXISTS, || Step::ApplyLate];
    for fails in kinds {
        for before in 0..8 {
            let store = filled(&["a", "b"], 50).await;
            let (one, other) = (Instance::new(&store), Instance::new(&store));
            one.deliver();
            store.script(std::iter::repeat_n(Step::Proper, before).chain([fails()]));
            let mut made = 0;
            for _ in 0..4 {
                // Before the name is known nothing can begin.
                match one.try_pass(&store).await {
                    Ok(_) => made += 1,
                    Err(PassError::Claims(ClaimsError::Unusable(_))) => {}
                    Err(error) => panic!("{:?} at {before}: {error}", fails()),
                }
                store.apply_late();
            }
            assert!(made >= 3, "{:?} at {before}", fails());
            store.clear_script();
            let seen = other.passed(&store).await;
            assert_eq!(seen.claims.claimed, 2, "{:?} at {before}: {seen:?}", fails());
            check_once(&[&one, &other], events("a", 50).chain(events("b", 50)));
            let delivered = |key: &str| (key.to_owned(), "delivered".to_owned());
            assert_eq!(
                states(&store),
                [delivered("in/a.json"), delivered("in/b.json")],
                "{:?} at {before}",
                fails()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_made_once_also_if_two_make_it() {
    for _ in 0..10 {
        let store = filled(&["a", "b", "c"], 20).await;
        let (one, other) = (Instance::new(&store), Instance::new(&store));
        let passes = tokio::join!(one.passed(&store), other.passed(&store));
        // Who comes second has listed the bucket under an id that nobody else knows.
        assert!(passes.0.not_begun == 0 || passes.1.not_begun == 0, "{passes:?}");
        tokio::join!(one.passed(&store), other.passed(&store));
        assert_eq!(one.import_id(), other.import_id());
        let all = ["a", "b", "c"].into_iter().flat_map(|name| events(name, 20).collect::<Vec<_>>());
        check_once(&[&one, &other], all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_with_other_settings_and_a_journal_that_is_taken_away_are_refused() {
    let store = filled(&["a"], 20).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    one.passed(&store).await;
    let wrong = BucketImport { prefix: "other/".to_owned(), ..other.import() };
    let refused = pass(Arc::new(wrong), deps(&other.node, &store)).await;
    let Err(PassError::Name(error @ NameError::Fixed { .. })) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("prefix was \"in/\" and is \"other/\""), "{error}");
    // An instance that only knows what others have done is bound, too.
    other.passed(&store).await;
    for instance in [&one, &other] {
        let alone = pass(Arc::new(import(&instance.node)), deps(&instance.node, &store)).await;
        let Err(PassError::Name(error)) = alone else { panic!("{alone:?}") };
        assert!(
            error.to_string().contains("journal was \"s3://journal/forebay/\" and is \"local\""),
            "{error}"
        );
    }
    store.delete(JOURNAL, "forebay/names/events.json");
    let gone = one.try_pass(&store).await.unwrap_err().to_string();
    assert!(gone.starts_with("E-IMPORT-CLAIMS: ") && gone.contains("names/events.json is gone"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_imported_before_the_journal_is_shared_stays_with_its_instance() {
    let store = filled(&["a", "b"], 20).await;
    let one = Instance::new(&store);
    pass(Arc::new(import(&one.node)), deps(&one.node, &store)).await.unwrap();
    put(&store, "in/c.json", lines("c", 20)).await;
    // The first put that cannot be made leaves everything as it is.
    store.script(std::iter::repeat_n(Step::Proper, 3).chain(std::iter::repeat_n(Step::RESET, 50)));
    assert!(matches!(one.try_pass(&store).await, Err(PassError::Claims(ClaimsError::Unusable(_)))));
    store.clear_script();
    let report = one.passed(&store).await;
    assert_eq!((files(&report), report.known), (vec![("done", 1)], 2), "{report:?}");
    let other = Instance::new(&store);
    assert_eq!(other.passed(&store).await.claims.claimed, 3);
    let all = ["a", "b", "c"].into_iter().flat_map(|name| events(name, 20).collect::<Vec<_>>());
    check_once(&[&one, &other], all);
    // Two histories cannot be one.
    let third = Instance::new(&store);
    pass(Arc::new(import(&third.node)), deps(&third.node, &store)).await.unwrap();
    let refused = third.try_pass(&store).await.unwrap_err().to_string();
    assert!(refused.contains("only one of the two histories can be shared"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_released_and_each_row_is_stored_with_the_same_message_id() {
    let store = filled(&["a", "b"], ROWS).await;
    let (lost, other) = (Instance::new(&store), Instance::new(&store));
    let lost = lost.killed_at(&store, 1, true).await;
    let id = lost.id().to_owned();
    let waits = other.passed(&store).await;
    let waiting = waits.claims.waiting.get(&id).unwrap();
    assert_eq!((waiting.files, waiting.first.as_slice()), (1, ["in/a.json".to_owned()].as_slice()));
    check_once(&[&other], events("b", ROWS));
    let journal = Arc::clone(&other.node.journal) as _;
    let release = |instance: String, dry_run: bool| {
        let (shared, journal, import) = (Arc::clone(&other.shared), Arc::clone(&journal), other.import_id());
        async move { shared.release(&journal, import, Releasing { instance: &instance, dry_run }).await }
    };
    let own = release(other.id().to_owned(), false).await.unwrap_err().to_string();
    assert!(own.contains("is this instance"), "{own}");
    let dry = release(id.clone(), true).await.unwrap();
    assert_eq!((dry.files, states(&store)[0].1.as_str()), (1, "open"), "{dry:?}");
    let released = release(id.clone(), false).await.unwrap();
    assert_eq!((&released, states(&store)[0].1.as_str()), (&dry, "released"));
    assert_eq!(release(id.clone(), false).await.unwrap().files, 0, "the same again");
    assert_eq!(files(&other.passed(&store).await), [("done", 1)]);
    let stored_by_both = stored(&[&lost, &other]);
    for event in events("a", ROWS).chain(events("b", ROWS)) {
        let ids: BTreeSet<&String> = stored_by_both.get(&event).unwrap().iter().collect();
        assert_eq!(ids.len(), 1, "{event}: {ids:?}");
    }
    assert!(stored_by_both.values().any(|ids| ids.len() == 2), "some came twice");
    check_once(&[&other], events("a", ROWS).chain(events("b", ROWS)));
    // The lost one comes back, and stores nothing more of it.
    let before = calls(&lost.node).len();
    let back = lost.passed(&store).await;
    assert_eq!((back.claims.released, back.rows, calls(&lost.node).len()), (1, 0, before), "{back:?}");
    // It said that the file has to be run or reset first, which is refused here.
    for key in [None, Some("in/a.json")] {
        let retried = retry_rejects(Arc::new(lost.import()), deps(&lost.node, &store), key, false).await;
        let says = retried.map_or_else(|error| error.to_string(), |report| format!("{:?}", report.left));
        assert!(says.contains(other.id()) && says.contains("again there"), "{says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_comes_back_before_others_take_its_files_goes_on() {
    let store = filled(&["a"], ROWS).await;
    let (lost, other) = (Instance::new(&store), Instance::new(&store));
    let lost = lost.killed_at(&store, 1, true).await;
    other.passed(&store).await;
    let asked = Releasing { instance: lost.id(), dry_run: false };
    let journal = Arc::clone(&other.node.journal) as _;
    other.shared.release(&journal, other.import_id(), asked).await.unwrap();
    lost.passed(&store).await;
    check_once(&[&lost], events("a", ROWS));
    assert_eq!(claims(&store)["in/a.json"]["instance"], lost.id());
    assert_eq!(other.passed(&store).await.claims.claimed, 1);
    // Released while it waits for its delivery: the last put says who has it.
    other.shared.release(&journal, other.import_id(), asked).await.unwrap();
    lost.deliver();
    lost.passed(&store).await;
    assert_eq!(states(&store), [("in/a.json".to_owned(), "delivered".to_owned())]);
    assert_eq!(other.passed(&store).await.claims.claimed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_missing_claim_holds_back_its_file_alone() {
    let store = filled(&["a", "b"], 20).await;
    let (one, other, third) = (Instance::new(&store), Instance::new(&store), Instance::new(&store));
    one.passed(&store).await;
    other.passed(&store).await;
    put(&store, "in/c.json", lines("c", 20)).await;
    let place = |key: &str| format!("forebay/{}/{}.json", one.import_id(), claim_name(key));
    let sound = store.object(JOURNAL, &place("in/a.json")).unwrap().bytes;
    let write = async |bytes: &[u8]| {
        use forebay::object::{BucketString, Encryption, ObjectKey, S3Location};
        use forebay::store::{ObjectStore as _, Put, PutMode};
        let to = S3Location::new(BucketString::parse(JOURNAL).unwrap(), Encryption::None);
        let key = ObjectKey::listed(place("in/a.json"));
        store.put(&Put::plain(to, key, bytes.to_vec(), PutMode::Overwrite)).await.unwrap();
    };
    write(&sound[..20]).await;
    store.delete(JOURNAL, &place("in/b.json"));
    let seen = other.passed(&store).await;
    assert_eq!((seen.claims.unknown, files(&seen)), (2, vec![("done", 1)]), "{seen:?}");
    // One that comes new knows nothing of what is gone, but sees what is damaged.
    let why = seen.claims.unknown_first.unwrap();
    assert_eq!(why.0, "in/a.json", "{why:?}");
    // Whose file it is goes on: it makes what is gone again.
    one.deliver();
    one.passed(&store).await;
    assert_eq!(claims_that_are_sound(&store), 2);
    write(&sound).await;
    let seen = third.passed(&store).await;
    assert_eq!((seen.claims.unknown, seen.claims.claimed), (0, 3), "{seen:?}");
    assert_eq!(other.passed(&store).await.claims.unknown, 0);
    let all = ["a", "b", "c"].into_iter().flat_map(|name| events(name, 20).collect::<Vec<_>>());
    check_once(&[&one, &other, &third], all);
}

fn claims_that_are_sound(store: &FakeStore) -> usize {
    let is_claim = |(bucket, key): &(String, String)| {
        bucket == JOURNAL
            && store.object(bucket, key).is_some_and(|object| {
                serde_json::from_slice::<Value>(&object.bytes).is_ok_and(|claim| claim["revision"].is_u64())
            })
    };
    store.keys().iter().filter(|place| is_claim(place)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_shared_journal_nothing_new_begins_and_what_is_claimed_goes_on() {
    let store = filled(&["a"], ROWS).await;
    let one = Instance::new(&store).killed_at(&store, 1, true).await;
    put(&store, "in/b.json", lines("b", 20)).await;
    store.refuse_bucket(JOURNAL, true);
    let puts = store.puts();
    let report = one.passed(&store).await;
    assert_eq!((files(&report), report.not_begun), (vec![("done", 1)], 1), "{report:?}");
    let problem = report.claims.problem.unwrap();
    assert!(problem.told.full().starts_with("access denied; ") && !problem.passes, "{problem:?}");
    assert!(store.puts() - puts <= 1, "it is not asked for each file");
    check_once(&[&one], events("a", ROWS));
    // One that has claimed nothing begins nothing.
    let other = Instance::new(&store);
    assert!(matches!(other.try_pass(&store).await, Err(PassError::Claims(ClaimsError::Unusable(_)))));
    store.refuse_bucket(JOURNAL, false);
    one.passed(&store).await;
    check_once(&[&one], events("a", ROWS).chain(events("b", 20)));
}

/// The journal is asked again at once, and what lasts longer is known as something that may pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_the_shared_journal_that_breaks_once_is_no_problem() {
    let store = filled(&["a"], 20).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    one.passed(&store).await;
    for reads in 0..4 {
        let name = format!("b{reads}");
        put(&store, &format!("in/{name}.json"), lines(&name, 20)).await;
        store.script_reads(std::iter::repeat_n(Step::Proper, reads).chain([Step::RESET]));
        let report = one.passed(&store).await;
        assert_eq!((files(&report), report.claims.problem), (vec![("done", 1)], None), "{reads}");
    }
    // The first read is that of the name.
    store.script_reads(std::iter::repeat_n(Step::RESET, 4));
    let report = one.passed(&store).await;
    assert!(report.claims.problem.as_ref().is_some_and(|outage| outage.passes), "{report:?}");
    store.script_reads(std::iter::repeat_n(Step::RESET, 4));
    let away = other.try_pass(&store).await;
    let Err(PassError::Claims(ClaimsError::Unusable(outage))) = away else { panic!("{away:?}") };
    assert!(outage.passes, "{outage:?}");
    assert!(one.passed(&store).await.claims.problem.is_none());
}

/// Each waits for its own file alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_closed_and_released_several_at_once() {
    let names: Vec<String> = (0..40).map(|number| format!("f{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = filled(&names, 3).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    one.passed(&store).await;
    let held = || {
        let gates: Vec<Gate> = std::iter::repeat_with(Gate::new).take(16).collect();
        store.script(gates.iter().map(|gate| Step::HoldRequest(gate.clone())));
        gates
    };
    let all_wait = async |gates: &[Gate]| {
        let all = async || gates.iter().all(Gate::is_awaited).then_some(());
        wait::until("sixteen requests", PATIENCE, all).await;
        gates.iter().for_each(Gate::open);
    };
    one.deliver();
    let gates = held();
    let (shared, id, source) = (Arc::clone(&one.shared), one.import_id(), SourceId::new("csv").unwrap());
    let journal: Arc<dyn Journal> = Arc::clone(&one.node.journal) as _;
    let closing = tokio::spawn(async move { shared.close_delivered(&journal, id, &source).await });
    all_wait(&gates).await;
    assert_eq!(closing.await.unwrap().unwrap().closed, 40);
    assert!(states(&store).iter().all(|(_, state)| state == "delivered"), "{:?}", states(&store));
    let rows = claims(&store).into_values().map(|claim| claim["rows"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(rows, 120);
    // Open ones of an instance that is gone.
    let lost = Instance::new(&store);
    for name in &names {
        put(&store, &format!("in/lost-{name}.json"), lines(name, 3)).await;
    }
    lost.passed(&store).await;
    other.passed(&store).await;
    let gates = held();
    let (shared, id, instance) = (Arc::clone(&other.shared), other.import_id(), lost.id().to_owned());
    let journal: Arc<dyn Journal> = Arc::clone(&other.node.journal) as _;
    let releasing = tokio::spawn(async move {
        let asked = Releasing { instance: &instance, dry_run: false };
        shared.release(&journal, id, asked).await
    });
    all_wait(&gates).await;
    let released = releasing.await.unwrap().unwrap();
    assert_eq!((released.files, released.first.len()), (40, 20), "{released:?}");
}

/// The objects of a shared journal, of which some cannot be written for now.
#[derive(Debug)]
struct Denied {
    records: S3Records,
    names: Vec<String>,
    is_on: AtomicBool,
}

impl ClaimFiles for Denied {
    fn read_file<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Stored>> {
        self.records.read_file(name)
    }

    fn read_listed<'a>(&'a self, name: &'a str, tag: &'a Tag) -> Answer<'a, Bytes> {
        self.records.read_listed(name, tag)
    }

    fn write_file<'a>(&'a self, name: &'a str, bytes: Bytes, replaces: Option<&'a Tag>) -> Answer<'a, Tag> {
        if self.is_on.load(Ordering::SeqCst) && self.names.iter().any(|denied| name.contains(denied)) {
            return Box::pin(async { Err(WriteError::Refused("denied".into())) });
        }
        self.records.write_file(name, bytes, replaces)
    }

    fn list<'a>(&'a self, folder: &'a str, next: Option<&'a str>) -> Answer<'a, FilesPage> {
        self.records.list(folder, next)
    }
}

/// As many as are closed at once, at the front of all: no other one was ever tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_cannot_be_closed_keep_no_other_one_open() {
    let names: Vec<String> = (0..40).map(|number| format!("f{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = filled(&names, 3).await;
    let key = |name: &&str| claim_name(&format!("in/{name}.json"));
    let denied = Arc::new(Denied {
        records: records(&store),
        names: names.iter().take(16).map(key).collect(),
        is_on: AtomicBool::new(false),
    });
    let one = Instance::over(node(), Arc::clone(&denied) as _);
    one.passed(&store).await;
    one.deliver();
    denied.is_on.store(true, Ordering::SeqCst);
    let journal: Arc<dyn Journal> = Arc::clone(&one.node.journal) as _;
    let source = SourceId::new("csv").unwrap();
    let close = async || one.shared.close_delivered(&journal, one.import_id(), &source).await;
    for _ in 0..20 {
        close().await.unwrap_err();
    }
    let open = || -> Vec<String> {
        states(&store).into_iter().filter(|(_, state)| state != "delivered").map(|(key, _)| key).collect()
    };
    let expected: Vec<String> = names.iter().take(16).map(|name| format!("in/{name}.json")).collect();
    assert_eq!(open(), expected);
    denied.is_on.store(false, Ordering::SeqCst);
    assert_eq!(close().await.unwrap().closed, 16);
    assert!(open().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused_at_the_start() {
    let store = filled(&["a"], 20).await;
    store.ignore_conditions(true);
    let one = Instance::new(&store);
    let refused = one.try_pass(&store).await.unwrap_err().to_string();
    assert!(refused.starts_with("E-IMPORT-CLAIMS: ") && refused.contains("If-None-Match"), "{refused}");
    check_once(&[&one], []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_versions_and_repetitions_stay_where_the_claim_is() {
    let store = filled(&["a"], 20).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    one.deliver();
    one.passed(&store).await;
    other.passed(&store).await;
    put(&store, "in/a.json", lines("b", 20)).await;
    let reprocess =
        |instance: &Instance| Arc::new(BucketImport { on_change: OnChange::Reprocess, ..instance.import() });
    let report = pass(reprocess(&other), deps(&other.node, &store)).await.unwrap();
    assert_eq!((report.rows, report.claims.claimed), (0, 1), "{report:?}");
    let again = PassDeps { again: true, ..deps(&other.node, &store) };
    assert_eq!(pass(reprocess(&other), again).await.unwrap().rows, 0);
    let reset = reset_object(Arc::new(other.import()), deps(&other.node, &store), "in/a.json").await;
    let Err(ResetError::Refused(what)) = reset else { panic!("{reset:?}") };
    assert!(what.contains(one.id()) && what.ends_with("reset it there"), "{what}");
    // More rows come: a lost disk would take them, so the claim is open until they are delivered.
    one.deliveries.0.store(false, Ordering::SeqCst);
    pass(reprocess(&one), deps(&one.node, &store)).await.unwrap();
    assert_eq!(states(&store), [("in/a.json".to_owned(), "open".to_owned())]);
    one.deliver();
    pass(reprocess(&one), deps(&one.node, &store)).await.unwrap();
    assert_eq!(states(&store), [("in/a.json".to_owned(), "delivered".to_owned())]);
    check_once(&[&one], events("a", 20).chain(events("b", 20)));
    assert_eq!(calls(&other.node).len(), 0);
}

/// The claim would say that all is delivered while rows of the next version are on one disk alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_not_closed_for_one_version_while_the_next_is_imported() {
    let store = filled(&["a"], 20).await;
    let one = Instance::new(&store);
    one.passed(&store).await;
    put(&store, "in/a.json", lines("b", ROWS)).await;
    let next = BucketImport { on_change: OnChange::Reprocess, ..one.import() };
    died_at(&one.node, &store, next.clone(), 1, true).await;
    one.deliver();
    let (journal, source) = (Arc::clone(&one.node.journal) as _, SourceId::new("csv").unwrap());
    let closed = one.shared.close_delivered(&journal, one.import_id(), &source).await.unwrap();
    assert_eq!((closed.closed, states(&store)[0].1.as_str()), (0, "open"));
    pass(Arc::new(next), deps(&one.node, &store)).await.unwrap();
    assert_eq!(states(&store)[0].1, "delivered");
    check_once(&[&one], events("a", 20).chain(events("b", ROWS)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_changed_for_all_instances() {
    let store = filled(&["a"], 20).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    one.passed(&store).await;
    other.passed(&store).await;
    let files = records(&store);
    for answer in [Step::LoseAnswer, Step::RESET, Step::Proper] {
        store.script([answer.clone(), answer]);
        rename_shared(&files, one.id(), ("events", "orders")).await.unwrap();
        store.clear_script();
    }
    let refused = other.try_pass(&store).await.unwrap_err().to_string();
    assert!(refused.contains("another instance gave it the name orders"), "{refused}");
    put(&store, "in/b.json", lines("b", 20)).await;
    let renamed = BucketImport { name: "orders".to_owned(), ..other.import() };
    let report = pass(Arc::new(renamed), deps(&other.node, &store)).await.unwrap();
    assert_eq!((report.claims.claimed, report.stored > 0), (1, true), "{report:?}");
    check_once(&[&one, &other], events("a", 20).chain(events("b", 20)));
    // And back.
    rename_shared(&files, one.id(), ("orders", "events")).await.unwrap();
    assert_eq!(one.passed(&store).await.claims.claimed, 1);
    let taken = rename_shared(&files, one.id(), ("orders", "events")).await;
    assert!(taken.is_ok(), "the same again: {taken:?}");
}

/// If the disk is lost before the rows are delivered, whoever releases the file needs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_deleted_only_once_its_claim_says_that_it_is_delivered() {
    let store = filled(&["a"], 5).await;
    let one = Instance::new(&store);
    let deleting = async || {
        let import = BucketImport { after: Some(After::Delete), ..one.import() };
        let report = pass(Arc::new(import), deps(&one.node, &store)).await.unwrap();
        let is_there = store.object("lake", "in/a.json").is_some();
        (is_there, report.after.waiting.values().sum::<u64>(), report.after.done.values().sum::<u64>())
    };
    assert_eq!(deleting().await, (true, 1, 0));
    assert_eq!(deleting().await, (true, 1, 0));
    one.deliver();
    assert_eq!(deleting().await, (false, 0, 1));
    assert_eq!(states(&store), [("in/a.json".to_owned(), "delivered".to_owned())]);
    check_once(&[&one], events("a", 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_released_and_taken_is_left_to_its_new_instance() {
    let store = filled(&["a"], 5).await;
    let (one, other) = (Instance::new(&store), Instance::new(&store));
    let deleting = async |instance: &Instance| {
        let import = BucketImport { after: Some(After::Delete), ..instance.import() };
        pass(Arc::new(import), deps(&instance.node, &store)).await.unwrap().after
    };
    deleting(&one).await;
    other.passed(&store).await;
    let asked = Releasing { instance: one.id(), dry_run: false };
    let journal = Arc::clone(&other.node.journal) as _;
    other.shared.release(&journal, other.import_id(), asked).await.unwrap();
    deleting(&other).await;
    one.deliver();
    assert!(deleting(&one).await.waiting.is_empty());
    assert!(store.object("lake", "in/a.json").is_some());
    other.deliver();
    assert_eq!(deleting(&other).await.done.values().sum::<u64>(), 1);
    check_once(&[&other], events("a", 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_released_and_that_nobody_takes_is_finished_by_its_instance() {
    for is_gone in [false, true] {
        let store = filled(&["a"], 5).await;
        let (one, other) = (Instance::new(&store), Instance::new(&store));
        let deleting = async |instance: &Instance| {
            let import = BucketImport { after: Some(After::Delete), ..instance.import() };
            pass(Arc::new(import), deps(&instance.node, &store)).await.unwrap().after
        };
        deleting(&one).await;
        other.passed(&store).await;
        // All rows are stored. Its process ends, and somebody takes its disk for lost.
        let one = Instance::of(one.node.killed(), &store);
        let asked = Releasing { instance: one.id(), dry_run: false };
        let journal = Arc::clone(&other.node.journal) as _;
        other.shared.release(&journal, other.import_id(), asked).await.unwrap();
        assert_eq!(states(&store), [("in/a.json".to_owned(), "released".to_owned())]);
        if is_gone {
            let is_claim = |key: &String| key.ends_with(&format!("/{}.json", claim_name("in/a.json")));
            let claim = store.keys().into_iter().map(|(_, key)| key).find(is_claim).unwrap();
            store.delete(JOURNAL, &claim);
        }
        assert_eq!(deleting(&one).await.waiting.values().sum::<u64>(), 1);
        one.deliver();
        assert_eq!(deleting(&one).await.done.values().sum::<u64>(), 1, "{is_gone}");
        assert_eq!(states(&store), [("in/a.json".to_owned(), "delivered".to_owned())]);
        check_once(&[&one], events("a", 5));
    }
}

/// Rows whose user is found by the corrected converter alone.
fn with_user(user: &str, instance: &Instance) -> BucketImport {
    let text = format!(
        r#"{{"converterConfig":{{"fileType":"json","convertToAmplitudeFunc":{{
            "event_type":["path","e"],"user_id":{user}}}}}}}"#
    );
    let claims = Some(Arc::clone(&instance.shared));
    BucketImport { claims, ..import_as(&instance.node, "events", "in/", &text) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_are_read_again_under_an_open_claim_by_whose_file_it_is() {
    let store = FakeStore::new();
    put(&store, "in/a.json", "{\"e\":\"1\",\"u\":\"u\"}\n{\"e\":\"2\",\"v\":\"u\"}\n").await;
    let (plain, corrected) = (r#"["path","u"]"#, r#"["any",["path","u"],["path","v"]]"#);
    let one = Instance::new(&store);
    one.deliver();
    let other = Instance::new(&store);
    pass(Arc::new(with_user(plain, &one)), deps(&one.node, &store)).await.unwrap();
    assert_eq!(states(&store)[0].1, "delivered");
    other.passed(&store).await;
    // What is stored now is not delivered yet.
    one.deliveries.0.store(false, Ordering::SeqCst);
    let retry = async |instance: &Instance, store: &FakeStore| {
        let import = Arc::new(with_user(corrected, instance));
        retry_rejects(import, deps(&instance.node, store), None, false).await
    };
    store.script(std::iter::repeat_n(Step::RESET, 20));
    let unsure = retry(&one, &store).await;
    assert!(unsure.as_ref().map_or(true, |report| report.left_count == 1), "{unsure:?}");
    store.clear_script();
    assert_eq!((calls(&one.node).len(), states(&store)[0].1.as_str()), (1, "delivered"));
    let report = retry(&one, &store).await.unwrap();
    assert_eq!((report.stored, report.left_count, states(&store)[0].1.as_str()), (1, 0, "open"));
    one.passed(&store).await;
    assert_eq!(states(&store)[0].1, "open");
    one.deliver();
    one.passed(&store).await;
    assert_eq!(states(&store)[0].1, "delivered");
    check_once(&[&one], ["1".to_owned(), "2".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_comes_back_reads_no_rejected_rows_of_a_file_that_was_taken() {
    let store = FakeStore::new();
    put(&store, "in/a.json", "{\"e\":\"1\",\"u\":\"u\"}\n{\"e\":\"2\",\"v\":\"u\"}\n").await;
    let (plain, corrected) = (r#"["path","u"]"#, r#"["any",["path","u"],["path","v"]]"#);
    let (lost, other) = (Instance::new(&store), Instance::new(&store));
    pass(Arc::new(with_user(plain, &lost)), deps(&lost.node, &store)).await.unwrap();
    pass(Arc::new(with_user(plain, &other)), deps(&other.node, &store)).await.unwrap();
    let asked = Releasing { instance: lost.id(), dry_run: false };
    let journal = Arc::clone(&other.node.journal) as _;
    other.shared.release(&journal, other.import_id(), asked).await.unwrap();
    pass(Arc::new(with_user(corrected, &other)), deps(&other.node, &store)).await.unwrap();
    let lost = Instance::of(lost.node.killed(), &store);
    let import = Arc::new(with_user(corrected, &lost));
    let report = retry_rejects(import, deps(&lost.node, &store), None, false).await.unwrap();
    assert_eq!((report.stored, report.left_count), (0, 1), "{report:?}");
    assert!(format!("{:?}", report.left).contains(other.id()), "{report:?}");
    assert_eq!(calls(&lost.node).len(), 1);
    check_once(&[&other], ["1".to_owned(), "2".to_owned()]);
}
