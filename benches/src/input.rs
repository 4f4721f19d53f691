//! The inputs that all sides get: the same values, series and labels.

use std::sync::LazyLock;

/// How many inputs there are; operations take them in turn.
pub const INPUTS: usize = 4096;

/// Upper bounds of the explicit histograms, in nanoseconds.
pub const BOUNDS_NANOS: [u64; 12] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    100_000_000,
];

/// Values of the first label of the 16 series.
pub const METHODS: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];
/// Values of the second label of the 16 series.
pub const STATUSES: [&str; 4] = ["200", "404", "429", "500"];
/// The trace of every exemplar.
pub const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Names of the labels of the many series of a page.
pub const PAGE_LABELS: [&str; 3] = ["method", "endpoint", "instance"];

/// Latencies between 1 µs and 1 s in nanoseconds, their logarithms uniform.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the values lie between 1e3 and 1e9"
)]
pub static NANOS: LazyLock<[u64; INPUTS]> = LazyLock::new(|| {
    let mut random = Random(1);
    std::array::from_fn(|_| 10f64.powf(3.0 + 6.0 * random.unit()) as u64)
});

/// The same latencies in seconds.
#[expect(clippy::cast_precision_loss, reason = "they are below 2^53")]
pub static SECONDS: LazyLock<[f64; INPUTS]> =
    LazyLock::new(|| std::array::from_fn(|at| NANOS[at] as f64 / 1e9));

/// Random numbers of the 16 series.
pub static SERIES: LazyLock<[usize; INPUTS]> = LazyLock::new(|| {
    let mut random = Random(2);
    std::array::from_fn(|_| usize::from(random.next().to_le_bytes()[7] % 16))
});

/// The bounds in seconds.
#[expect(clippy::cast_precision_loss, reason = "they are below 2^53")]
pub fn bounds_seconds() -> [f64; 12] {
    BOUNDS_NANOS.map(|bound| bound as f64 / 1e9)
}

/// The two label values of one of the 16 series.
#[inline(always)]
pub fn label_values(series: usize) -> [&'static str; 2] {
    [METHODS[series % 4], STATUSES[series / 4 % 4]]
}

/// The three label values of series `at` of a page; a line comes to some 105 bytes.
pub fn page_label_values(at: usize) -> [String; 3] {
    [
        METHODS[at % 4].to_owned(),
        format!("/api/v1/objects/{at:06}"),
        format!("10.20.30.{}:8080", at % 7),
    ]
}

/// The value of series `at` of a page.
pub fn page_value(at: usize) -> u64 {
    at as u64 * 7_919 + 1_000_000
}

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
