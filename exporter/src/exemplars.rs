//! Exemplars as the formats show them: at most one a bucket.

use tachograph::{Exemplar, Family, Scale};

use crate::number;

/// For each of the exposed buckets, whose indexes are `bounds`, and then for `+Inf` its newest exemplar.
///
/// Bounds and values are compared as they are shown: an exemplar must lie in its bucket there.
pub(crate) fn by_bucket<'a>(
    exemplars: impl Iterator<Item = &'a Exemplar>,
    family: &Family,
    bounds: &[usize],
) -> Vec<Option<&'a Exemplar>> {
    let scale = family.unit.scale();
    let mut shown: Vec<Option<&Exemplar>> = vec![None; bounds.len() + 1];
    let Some(buckets) = &family.buckets else {
        return shown;
    };
    #[expect(clippy::cast_precision_loss, reason = "a bound is exposed as a float")]
    let bound = |index: usize| scale.apply(buckets.upper_bound(index) as f64);
    for exemplar in exemplars {
        let value = value(exemplar, scale);
        let place = bounds.partition_point(|&index| bound(index) < value);
        let older = |other: &Exemplar| other.time_unix_nanos <= exemplar.time_unix_nanos;
        if shown[place].is_none_or(older) {
            shown[place] = Some(exemplar);
        }
    }
    shown
}

/// What was recorded, in base units.
pub(crate) fn value(exemplar: &Exemplar, scale: Scale) -> f64 {
    exemplar.value.scaled(scale).as_f64()
}

/// Appends what follows a sample in OpenMetrics. Its labels have 63 characters of the 128 that they may have.
pub(crate) fn push(out: &mut Vec<u8>, exemplar: &Exemplar, scale: Scale) {
    let (trace_id, span_id) = (exemplar.trace_id, exemplar.span_id);
    let labels = format!(" # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} ");
    out.extend_from_slice(labels.as_bytes());
    number::push_number(out, exemplar.value.scaled(scale));
    let millis = exemplar.time_unix_nanos / 1_000_000;
    let time = format!(" {}.{:03}", millis / 1_000, millis % 1_000);
    out.extend_from_slice(time.as_bytes());
}
