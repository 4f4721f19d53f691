//! Stands in for the exporter's renderer until it is there; then this file goes and the benches use
//! `tachograph_exporter::text::TextRenderer`. It keeps nothing and escapes nothing.

use std::io::Write;

use tachograph::{Number, SeriesView, Snapshot, ValueView};

/// Renders snapshots as text.
#[derive(Debug, Default)]
pub struct TextRenderer {
    page: Vec<u8>,
}

impl TextRenderer {
    /// A new one.
    pub fn new() -> TextRenderer {
        TextRenderer::default()
    }

    /// The page of these segments.
    pub fn render(&mut self, segments: &[(Option<&str>, &Snapshot)]) -> &[u8] {
        self.page.clear();
        for view in segments
            .iter()
            .flat_map(|(_, snapshot)| snapshot.families())
        {
            for series in view.series() {
                self.series(&view.family.name, &series).unwrap();
            }
        }
        &self.page
    }

    fn series(&mut self, name: &str, series: &SeriesView<'_>) -> std::io::Result<()> {
        match series.value {
            ValueView::Number(Number::Unsigned(value)) => {
                self.name(name, series)?;
                writeln!(self.page, "}} {value}")
            }
            ValueView::Histogram(histogram) => {
                let mut count = 0;
                for (index, bucket) in histogram.counts.iter().enumerate() {
                    count += bucket;
                    self.name(name, series)?;
                    writeln!(self.page, "le=\"{index}\"}} {count}")?;
                }
                writeln!(
                    self.page,
                    "{name}_sum {}\n{name}_count {count}",
                    histogram.sum
                )
            }
            _ => Ok(()),
        }
    }

    fn name(&mut self, name: &str, series: &SeriesView<'_>) -> std::io::Result<()> {
        write!(self.page, "{name}{{")?;
        for label in &series.series.labels {
            write!(self.page, "{}=\"{}\",", label.name, label.value)?;
        }
        Ok(())
    }
}
