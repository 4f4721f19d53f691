use tachograph::{Counter, Gauge, Histogram, Metrics, StateSet};

#[derive(Metrics)]
#[metrics(prefix = shop, label(a = "b"))]
struct OnTheStruct {
    /// Help
    a_total: Counter,
}

#[derive(Metrics)]
struct OnFields {
    /// Help
    #[metric(bukets = [1])]
    a_seconds: Histogram,
    /// Help
    #[metric(buckets = [1])]
    b_total: Counter,
    /// Help
    #[metric(unit = millis)]
    c_seconds: Gauge,
    /// Help
    #[metric(mode = average)]
    d: Gauge,
    e: Gauge,
    /// Help
    #[metric(name = "f", name = "g")]
    f: Gauge,
    /// Help
    #[metric(name = 5)]
    g: Gauge,
    /// Help
    #[metric(allow_id_labels = true)]
    h: Gauge,
    /// Help
    #[metric(labels(le = "1"))]
    i: Gauge,
    /// Help
    #[metric(states = 5)]
    j: StateSet,
    #[metric(flatten, unit = bytes)]
    k: OnTheStruct,
    /// Help
    #[metric(labels = "x")]
    l: Gauge,
    /// Help
    #[metric(keep_for = "10x")]
    m_total: tachograph::Labelled<Counter, bool>,
    /// Help
    #[metric(keep_for = "10m")]
    n_total: Counter,
    /// Help
    #[metric(keep_for = "10m")]
    o_total: tachograph::Dense<Counter, bool>,
}

#[derive(Metrics)]
struct Tuple(Counter);

#[derive(Metrics)]
enum Enum {
    A,
}

fn main() {}
