//! The totals that are compared: one number a row, in the order in which a worker records them.

use tachograph::{Number, Snapshot, ValueView};

use super::protocol::Refusal;

/// How many totals there are.
pub(crate) const ROWS: usize = 15;
/// Rows of the stages, in the order of `Stage::ALL`.
pub(crate) const STAGE_ROWS: [usize; 4] = [0, 1, 2, 3];
/// Row of the number of sizes recorded.
pub(crate) const SIZE_COUNT: usize = 4;
/// Row of the sum of sizes recorded.
pub(crate) const SIZE_SUM: usize = 5;
/// Row of the bytes read.
pub(crate) const BYTES: usize = 6;
/// Row of the tokens.
pub(crate) const TOKENS: usize = 7;
/// Row of the distinct terms.
pub(crate) const TERMS: usize = 8;
/// Row of the documents.
pub(crate) const DOCUMENTS: usize = 9;
/// First of the rows of errors, in the order of `Refusal::ALL`.
const ERRORS: usize = 10;

/// One number a row.
pub(crate) type Totals = [u64; ROWS];

/// The row that counts documents refused for `refusal`.
pub(crate) const fn error_row(refusal: Refusal) -> usize {
    ERRORS + refusal as usize
}

/// Which number of a series a row is.
#[derive(Debug, Clone, Copy)]
enum Part {
    Value,
    Count,
    Sum,
}

/// Where a row's number stands in a snapshot.
#[derive(Debug, Clone, Copy)]
struct Row {
    family: &'static str,
    label: Option<(&'static str, &'static str)>,
    part: Part,
}

impl Row {
    const fn counter(family: &'static str) -> Row {
        Row {
            family,
            label: None,
            part: Part::Value,
        }
    }

    const fn stage(stage: &'static str) -> Row {
        Row {
            family: "demo_stage_duration_seconds",
            label: Some(("stage", stage)),
            part: Part::Count,
        }
    }

    const fn size(part: Part) -> Row {
        Row {
            family: "demo_document_size_bytes",
            label: None,
            part,
        }
    }

    const fn error(refusal: Refusal) -> Row {
        Row {
            family: "demo_left_out_total",
            label: Some(("kind", refusal.as_str())),
            part: Part::Value,
        }
    }
}

const TABLE: [Row; ROWS] = [
    Row::stage("read"),
    Row::stage("tokenise"),
    Row::stage("count"),
    Row::stage("hash"),
    Row::size(Part::Count),
    Row::size(Part::Sum),
    Row::counter("demo_read_bytes_total"),
    Row::counter("demo_tokens_total"),
    Row::counter("demo_terms_total"),
    Row::counter("demo_documents_total"),
    Row::error(Refusal::Unreadable),
    Row::error(Refusal::TooLarge),
    Row::error(Refusal::Binary),
    Row::error(Refusal::NotUtf8),
    Row::error(Refusal::Changed),
];

/// What a scrape calls the number of a row.
pub(crate) fn row_name(row: usize) -> String {
    let Row {
        family,
        label,
        part,
    } = TABLE[row];
    let suffix = match part {
        Part::Value => "",
        Part::Count => "_count",
        Part::Sum => "_sum",
    };
    match label {
        Some((name, value)) => format!("{family}{suffix}{{{name}=\"{value}\"}}"),
        None => format!("{family}{suffix}"),
    }
}

/// What the segment holds; zero for what has not been recorded at all.
pub(crate) fn recorded(snapshot: &Snapshot) -> Totals {
    TABLE.map(|row| {
        let labels: Vec<_> = row.label.into_iter().collect();
        match (snapshot.value(row.family, &labels), row.part) {
            (Some(ValueView::Number(Number::Unsigned(value))), Part::Value) => value,
            (Some(ValueView::Histogram(histogram)), Part::Count) => histogram.count(),
            (Some(ValueView::Histogram(histogram)), Part::Sum) => {
                u64::try_from(histogram.sum).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_row() {
        for refusal in Refusal::ALL {
            let name = row_name(error_row(refusal));
            assert_eq!(
                name,
                format!("demo_left_out_total{{kind=\"{}\"}}", refusal.as_str())
            );
        }
        assert_eq!(row_name(SIZE_SUM), "demo_document_size_bytes_sum");
        assert_eq!(row_name(DOCUMENTS), "demo_documents_total");
        assert_eq!(
            row_name(STAGE_ROWS[3]),
            "demo_stage_duration_seconds_count{stage=\"hash\"}"
        );
    }
}
