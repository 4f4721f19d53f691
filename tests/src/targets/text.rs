//! The text page of any texts and numbers, read back by a reader that is not the exporter's.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use tachograph::{Buckets, Error, GaugeMode, Reader, SegmentOptions, Writer};
use tachograph_exporter::text::TextRenderer;

use super::page::{self, Page};
use crate::scratch::Scratch;

/// Bytes of the HELP text and of the label values; no two are the same, so no two series become one.
const LENGTHS: [usize; 6] = [50, 1, 2, 5, 13, 32];
/// What fills each of them before.
const FILL: [u8; 6] = [1, 2, 3, 4, 5, 6];
/// What the numbers are before they are overwritten.
const MARK: u64 = 0x00a7_f1e2_d3c4_b5a6;
/// The sign bit, which is flipped in a gauge's word.
const SIGN: u64 = 1 << 63;

thread_local! {
    static BLANKS: Blanks = Blanks::new();
}

/// A segment whose texts and numbers can be filled in.
struct Blanks {
    scratch: Scratch,
    file: File,
    /// Where the texts begin, in bytes.
    texts: Vec<u64>,
    gauges: Vec<u64>,
    counter: u64,
    /// The sum, then three buckets.
    histogram: u64,
}

impl Blanks {
    fn new() -> Blanks {
        let scratch = Scratch::new();
        let options = SegmentOptions::new().path(scratch.segment()).cpu_shards(1);
        let options = options.processes(1).process_cells(1).families(4).series(16);
        let options = options
            .string_bytes(4096)
            .shared_cells(64)
            .counter_cells(512);
        let writer = options.histogram_bytes(1).attach().expect("a segment");
        declare(&writer).expect("room for the families");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(scratch.segment());
        let file = file.expect("the segment's file");
        let mut bytes = vec![0; 1 << 18];
        let count = file.read_at(&mut bytes, 0).expect("the segment's file");
        let find = |needle: &[u8]| -> u64 {
            let mut places = bytes[..count].windows(needle.len()).enumerate();
            let (at, _) = places
                .find(|(_, found)| *found == needle)
                .expect("it was recorded");
            at as u64
        };
        let number = |value: u64| find(&value.to_ne_bytes());
        Blanks {
            texts: (0..LENGTHS.len())
                .map(|at| find(&stored(at)) + if at == 0 { 0 } else { 6 })
                .collect(),
            gauges: (1..LENGTHS.len() as u64)
                .map(|at| number((MARK + at) ^ SIGN))
                .collect(),
            counter: number(MARK),
            histogram: number(MARK * 5),
            scratch,
            file,
        }
    }

    fn write(&self, bytes: &[u8], at: u64) {
        self.file
            .write_all_at(bytes, at)
            .expect("the segment's file takes bytes");
    }
}

/// A text as it stands in the segment: a label value behind its name and its length.
fn stored(at: usize) -> Vec<u8> {
    let fill = vec![FILL[at]; LENGTHS[at]];
    if at == 0 {
        return fill;
    }
    let length = u16::try_from(fill.len()).expect("a short text");
    [&b"text"[..], &length.to_le_bytes(), &fill].concat()
}

fn declare(writer: &Writer) -> Result<(), Error> {
    let fill = |at: usize| String::from_utf8(vec![FILL[at]; LENGTHS[at]]).expect("it is ASCII");
    let gauges = writer
        .gauge_f64("text_depth", &fill(0))
        .mode(GaugeMode::LastingLatest);
    let gauges = gauges.family()?;
    for at in 1..LENGTHS.len() {
        gauges
            .with(&[("text", &fill(at))])?
            .set(f64::from_bits(MARK + at as u64));
    }
    writer.counter("text_total", "h").register()?.add(MARK);
    let sizes = writer
        .histogram("text_sizes", "h")
        .buckets(Buckets::explicit([1, 10])?);
    sizes.register()?.record_n(5, MARK);
    Ok(())
}

/// Bytes of the texts, then of the numbers; what is missing is zero.
///
/// # Panics
/// When the page does not say what was filled in.
pub fn run(input: &[u8]) {
    BLANKS.with(|blanks| {
        let mut input = input.iter().copied().chain(std::iter::repeat(0));
        let texts = LENGTHS.map(|length| text(&input.by_ref().take(length).collect::<Vec<u8>>()));
        for (text, &at) in texts.iter().zip(&blanks.texts) {
            blanks.write(text.as_bytes(), at);
        }
        let mut number = || {
            (0..8).fold(0, |word, _| {
                word << 8 | u64::from(input.next().unwrap_or(0))
            })
        };
        let mut fill = |at: u64| {
            let word = number();
            blanks.write(&word.to_ne_bytes(), at);
            word
        };
        let gauges: Vec<u64> = blanks.gauges.iter().map(|&at| fill(at)).collect();
        let counter = fill(blanks.counter);
        let histogram = [0, 8, 16, 24].map(|bytes| fill(blanks.histogram + bytes));
        let page = render(blanks);
        // A family without a sample is not on the page.
        let help = gauges.iter().any(|&word| word != 0).then_some(&texts[0]);
        assert_eq!(page.help.get("text_depth"), help);
        check(page, &texts[1..], &gauges, counter, histogram);
    });
}

/// The bytes as text, of the same length.
fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(byte & 0x7f)).collect(),
    }
}

fn render(blanks: &Blanks) -> Page {
    let mut reader = Reader::attach(blanks.scratch.segment()).expect("it is sound");
    let snapshot = reader.snapshot().expect("it is sound");
    assert!(snapshot.damage.is_empty(), "{:?}", snapshot.damage);
    let mut renderer = TextRenderer::new();
    let page = renderer.render(&[(None, &snapshot)]);
    page::parse(page).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(page)))
}

#[expect(clippy::cast_precision_loss, reason = "as a scraper reads them")]
fn check(page: Page, texts: &[String], gauges: &[u64], counter: u64, histogram: [u64; 4]) {
    let mut expected = BTreeMap::new();
    let mut add = |name: &str, label: Option<(&str, &str)>, value: f64| {
        let labels: Vec<_> = label
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        expected.insert((name.to_owned(), labels.into_iter().collect()), value);
    };
    for (text, &word) in texts.iter().zip(gauges).filter(|&(_, &word)| word != 0) {
        add(
            "text_depth",
            Some(("text", text)),
            f64::from_bits(word ^ SIGN),
        );
    }
    add("text_total", None, counter as f64);
    let [sum, one, ten, more] = histogram;
    let (below_ten, all) = (
        one.wrapping_add(ten),
        one.wrapping_add(ten).wrapping_add(more),
    );
    for (bound, count) in [("1.0", one), ("10.0", below_ten), ("+Inf", all)] {
        add("text_sizes_bucket", Some(("le", bound)), count as f64);
    }
    add("text_sizes_sum", None, sum as f64);
    add("text_sizes_count", None, all as f64);
    let bits = |samples: BTreeMap<page::Key, f64>| -> BTreeMap<page::Key, u64> {
        // All NaN are one to the format.
        let bits = |value: f64| {
            if value.is_nan() {
                u64::MAX
            } else {
                value.to_bits()
            }
        };
        samples
            .into_iter()
            .map(|(key, value)| (key, bits(value)))
            .collect()
    };
    assert_eq!(bits(page.samples), bits(expected));
}
