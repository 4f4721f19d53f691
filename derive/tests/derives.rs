//! What the derives make, as a program uses it.

use tachograph::{
    Buckets, Counter, CounterF64, Dense, Error, FamilyHandle, Field, Gauge, GaugeF64, GaugeMode,
    Histogram, Info, LabelSet, LabelValue, Labelled, Metrics, Range, Scope, Sharding, StateSet,
    TestSegment, Unit,
};

#[derive(Debug, Clone, Copy, PartialEq, LabelValue, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
enum Outcome {
    Served,
    TimedOut,
    #[label(rename = "5xx")]
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, LabelValue, LabelSet)]
#[label(rename_all = "SCREAMING_SNAKE_CASE", name = "verb")]
enum HttpMethod {
    Get = 7,
    PatchAll = 3,
}

#[derive(Clone, Copy, LabelValue, LabelSet)]
enum Stage {
    Read,
    Hash,
}

#[derive(Clone, Copy, LabelSet)]
struct Bounded {
    outcome: Outcome,
    #[label(rename = "is_cached")]
    cached: bool,
    r#type: Range<1, 3>,
}

struct Name(String);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[derive(LabelSet)]
struct Open<'a, 'b> {
    borrowed: &'a str,
    cow: std::borrow::Cow<'b, str>,
    owned: String,
    shared: std::sync::Arc<str>,
    #[label(text)]
    other: Name,
    code: i16,
    outcome: Outcome,
}

#[derive(Metrics)]
#[metrics(prefix = "app", labels(service = "api", version = env!("CARGO_PKG_VERSION")))]
struct AppMetrics {
    /// Requests that were
    /// served.
    requests_total: Dense<Counter, Bounded>,
    #[metric(help = "Energy used", unit = Unit::custom("joules", 1, 1))]
    energy_joules_total: CounterF64,
    /// Depth
    #[metric(name = "queue_depth", mode = lasting_max)]
    depth: Gauge,
    /// Load
    #[metric(unit = percent, mode = GaugeMode::Max)]
    load_ratio: GaugeF64,
    /// Wait
    #[metric(unit = microseconds, buckets = [10, 20], sharding = Sharding::PerCpu)]
    wait_seconds: Histogram,
    /// Sizes
    #[metric(unit = bytes, buckets = log_linear(2, 1 << 20))]
    size_bytes: Dense<Histogram, Stage>,
    /// Others
    #[metric(buckets = Buckets::hdr(2, 1000)?)]
    others: Histogram,
    /// By users
    #[metric(series_limit = 3, allow_id_labels, labels(part = "login"))]
    logins_total: Labelled<Counter, User<'static>>,
    /// By name
    by_name_total: FamilyHandle<Counter>,
    /// Verbs
    verbs_total: Dense<Counter, HttpMethod>,
    /// Build
    #[metric(name = "build_info", labels(commit = "abc"))]
    _build_info: Info,
    /// State
    #[metric(states = Stage)]
    stage: StateSet,
    /// Light
    #[metric(states = ["red", "green"])]
    light: StateSet,
    #[metric(flatten, prefix = "store", labels(shard = "7"))]
    store: StoreMetrics<Counter>,
    #[metric(flatten)]
    base: BaseMetrics,
}

#[derive(LabelSet)]
struct User<'a> {
    user_id: &'a str,
}

#[derive(Metrics)]
#[metrics(prefix = "db")]
struct StoreMetrics<T>
where
    T: Field<Handle = Counter>,
{
    /// Rows
    rows_total: T,
}

#[derive(Debug, Clone, Metrics)]
struct BaseMetrics {
    /// Errors
    errors_total: Counter,
}

const CONSTANT: [(&str, &str); 2] = [("service", "api"), ("version", env!("CARGO_PKG_VERSION"))];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    CONSTANT.iter().chain(more).copied().collect()
}

#[test]
fn a_declared_struct_records_what_it_says() {
    let (app, test) = AppMetrics::for_test();
    app.requests_total
        .get(Bounded {
            outcome: Outcome::Failed,
            cached: true,
            r#type: Range::new(2),
        })
        .inc();
    app.energy_joules_total.add(0.5);
    app.depth.set(9);
    app.load_ratio.set(50.0);
    app.wait_seconds.record(15);
    app.size_bytes.get(Stage::Hash).record(512);
    app.others.record(1);
    app.logins_total.with(&User { user_id: "ann" }).inc();
    app.by_name_total.with(&[("a", "b")]).unwrap().inc();
    app.verbs_total.get(HttpMethod::PatchAll).inc();
    app.stage.set(Stage::Hash.index());
    app.light.set(0);
    app.store.rows_total.add(3);
    app.base.errors_total.add(4);

    let value = |name, labels: &[_]| test.value(name, &with(labels));
    let labels = [("outcome", "5xx"), ("is_cached", "true"), ("type", "2")];
    assert_eq!(value("app_requests_total", &labels), Some(1.0));
    assert_eq!(value("app_energy_joules_total", &[]), Some(0.5));
    assert_eq!(value("app_queue_depth", &[]), Some(9.0));
    assert_eq!(value("app_load_ratio", &[]), Some(0.5));
    assert_eq!(test.count("app_wait_seconds", &CONSTANT), Some(1));
    assert_eq!(test.sum("app_wait_seconds", &CONSTANT), Some(0.000_015));
    assert_eq!(
        test.sum("app_size_bytes", &with(&[("stage", "hash")])),
        Some(512.0)
    );
    assert_eq!(
        test.count("app_size_bytes", &with(&[("stage", "read")])),
        Some(0)
    );
    assert_eq!(
        value("app_logins_total", &[("user_id", "ann"), ("part", "login")]),
        Some(1.0)
    );
    assert_eq!(value("app_by_name_total", &[("a", "b")]), Some(1.0));
    assert_eq!(
        value("app_verbs_total", &[("verb", "PATCH_ALL")]),
        Some(1.0)
    );
    assert_eq!(value("app_verbs_total", &[("verb", "GET")]), Some(0.0));
    assert_eq!(value("app_build_info", &[("commit", "abc")]), Some(1.0));
    assert_eq!(
        value("app_store_db_rows_total", &[("shard", "7")]),
        Some(3.0)
    );
    assert_eq!(value("app_errors_total", &[]), Some(4.0));
}

#[test]
fn a_declared_struct_is_what_its_attributes_say() {
    let (_, test) = AppMetrics::for_test();
    let snapshot = test.snapshot();
    let family = |name: &str| snapshot.family(name).unwrap().family.clone();
    assert_eq!(
        family("app_requests_total").help,
        "Requests that were served."
    );
    assert_eq!(family("app_requests_total").series.len(), 12);
    assert_eq!(family("app_stage").states, ["read", "hash"]);
    assert_eq!(family("app_light").states, ["red", "green"]);
    assert_eq!(
        family("app_queue_depth").kind.mode(),
        Some(GaugeMode::LastingMax)
    );
    assert_eq!(family("app_load_ratio").kind.mode(), Some(GaugeMode::Max));
    assert_eq!(
        family("app_wait_seconds").buckets,
        Some(Buckets::explicit([10, 20]).unwrap())
    );
    assert_eq!(
        family("app_size_bytes").buckets,
        Some(Buckets::log_linear(2, 1 << 20).unwrap())
    );
    assert_eq!(family("app_logins_total").series_limit, 3);
    assert_eq!(snapshot.directory.families.len(), 15);
}

#[test]
fn an_error_names_the_field() {
    #[derive(Debug, Metrics)]
    struct Outer {
        #[metric(flatten, prefix = "inner")]
        _inner: Inner,
    }
    #[derive(Debug, Metrics)]
    struct Inner {
        /// Wrong
        _requests: Counter,
    }
    let test = TestSegment::new();
    let refused = Outer::register(test.writer()).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Field {
                set: "Outer",
                field: "_inner",
                ..
            }
        ),
        "{refused:?}"
    );
    let text = refused.to_string();
    assert!(text.contains("Outer._inner: Inner._requests: "), "{text}");
    assert!(text.contains("call it inner__requests_total"), "{text}");
}

#[test]
fn a_struct_registers_twice_and_in_other_scopes() {
    let test = TestSegment::new();
    let one = BaseMetrics::register(test.writer()).unwrap();
    let two = BaseMetrics::register(test.writer()).unwrap();
    one.errors_total.inc();
    two.clone().errors_total.inc();
    assert_eq!(test.value("errors_total", &[]), Some(2.0));
    let scope = Scope::new(test.writer()).prefix("a").label("b", "c");
    BaseMetrics::register_in(&scope).unwrap().errors_total.inc();
    assert_eq!(test.value("a_errors_total", &[("b", "c")]), Some(1.0));
}

#[test]
fn one_spelling_for_labels_texts_and_serde() {
    for outcome in Outcome::ALL {
        let text = outcome.as_str();
        assert_eq!(outcome.to_string(), text);
        assert_eq!(text.parse(), Ok(outcome));
        assert_eq!(Outcome::text(outcome.index()), text);
        let json = serde_json::to_string(&outcome).unwrap();
        assert_eq!(json, format!("{text:?}"));
        assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
    }
    assert_eq!(
        Outcome::ALL.map(Outcome::as_str),
        ["served", "timed_out", "5xx"]
    );
    let unknown = "nothing".parse::<Outcome>().unwrap_err().to_string();
    assert_eq!(unknown, "\"nothing\" is none of served, timed_out, 5xx");
    assert!(serde_json::from_str::<Outcome>("\"nothing\"").is_err());
    assert_eq!(HttpMethod::ALL.map(LabelValue::index), [0, 1]);
}

#[test]
fn a_bounded_set_counts_its_combinations() {
    use tachograph::BoundedSet;
    assert_eq!(Bounded::COUNT, 12);
    assert_eq!(Bounded::NAMES, ["outcome", "is_cached", "type"]);
    let mut places = Vec::new();
    for outcome in Outcome::ALL {
        for cached in [false, true] {
            for r#type in [1, 2].map(Range::new) {
                let set = Bounded {
                    outcome,
                    cached,
                    r#type,
                };
                let texts = [
                    outcome.to_string(),
                    cached.to_string(),
                    r#type.get().to_string(),
                ];
                assert_eq!(Bounded::texts(set.index()), texts);
                places.push(set.index());
            }
        }
    }
    assert_eq!(places, (0..12).collect::<Vec<_>>());
}

#[test]
fn texts_of_every_kind_are_labels() {
    let test = TestSegment::new();
    let family: Labelled<Counter, Open<'static, 'static>> = test
        .writer()
        .counter("opens_total", "h")
        .labelled()
        .unwrap();
    let borrowed = String::from("b");
    let set = |code| Open {
        borrowed: &borrowed,
        cow: "c".into(),
        owned: "o".into(),
        shared: "s".into(),
        other: Name("n".into()),
        code,
        outcome: Outcome::TimedOut,
    };
    family.with(&set(-5)).inc();
    family.with(&set(5)).add(2);
    let value = |code| {
        let labels = [
            ("borrowed", "b"),
            ("cow", "c"),
            ("owned", "o"),
            ("shared", "s"),
            ("other", "n"),
            ("code", code),
            ("outcome", "timed_out"),
        ];
        test.value("opens_total", &labels)
    };
    assert_eq!([value("-5"), value("5")], [Some(1.0), Some(2.0)]);
}
