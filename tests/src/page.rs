//! A page in Prometheus' text format, checked line by line and against the page before it.

use std::collections::HashMap;

/// What a page says that may only grow: every counter and every part of a histogram.
#[derive(Debug, Default)]
pub struct Page {
    growing: HashMap<String, f64>,
}

/// Running totals of one histogram series, by its labels without `le`.
#[derive(Debug, Default)]
struct Buckets {
    last: f64,
    infinite: Option<f64>,
}

impl Page {
    /// Reads a page and checks that it makes sense.
    ///
    /// # Errors
    /// Says which line does not.
    pub fn parse(text: &str) -> Result<Page, String> {
        let mut page = Page::default();
        let mut kind = "";
        let mut family = "";
        let mut histograms: HashMap<String, Buckets> = HashMap::new();
        for line in text.lines() {
            let fault = |what: &str| format!("{what}: {line}");
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                (family, kind) = declared.rsplit_once(' ').ok_or_else(|| fault("no type"))?;
                continue;
            }
            if line.starts_with("# ") {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| fault("no value"))?;
            let value: f64 = value.parse().map_err(|_| fault("no number"))?;
            let Some(rest) = series.strip_prefix(family) else {
                return Err(fault("a series without a type"));
            };
            if kind == "histogram" {
                page.check_part(rest, value, family, &mut histograms)
                    .map_err(|what| fault(&what))?;
            }
            if ["counter", "histogram"].contains(&kind)
                && page.growing.insert(series.to_owned(), value).is_some()
            {
                return Err(fault("a series twice"));
            }
        }
        match histograms
            .iter()
            .find(|(_, buckets)| buckets.infinite.is_none())
        {
            Some((series, _)) => Err(format!("no +Inf bucket: {series}")),
            None => Ok(page),
        }
    }

    /// Buckets are cumulative, and the count is the last of them.
    fn check_part(
        &self,
        part: &str,
        value: f64,
        family: &str,
        histograms: &mut HashMap<String, Buckets>,
    ) -> Result<(), String> {
        if let Some(labels) = part.strip_prefix("_bucket") {
            let (before, le) = labels.split_once("le=\"").ok_or("no bound")?;
            let (bound, after) = le.split_once('"').ok_or("no bound")?;
            let key = format!("{family}{}{after}", before.trim_end_matches(','));
            let buckets = histograms.entry(key.replace("{}", "")).or_default();
            if value < buckets.last {
                return Err(format!("a bucket below {}", buckets.last));
            }
            buckets.last = value;
            if bound == "+Inf" {
                buckets.infinite = Some(value);
            }
        } else if let Some(labels) = part.strip_prefix("_count") {
            let infinite = histograms
                .get(&format!("{family}{labels}"))
                .and_then(|b| b.infinite);
            if infinite != Some(value) {
                return Err(format!("the +Inf bucket has {infinite:?}"));
            }
        } else if !part.starts_with("_sum") {
            return Err("no part of a histogram".into());
        }
        Ok(())
    }

    /// Sees that nothing has fallen or vanished since an earlier page, but for the usage of processes that have ended.
    ///
    /// # Errors
    /// Says what did.
    pub fn check_since(&self, earlier: &Page) -> Result<(), String> {
        for (series, before) in &earlier.growing {
            match self.growing.get(series) {
                Some(now) if now >= before => {}
                None if series.starts_with("process_") => {}
                now => return Err(format!("{series} was {before} and is {now:?}")),
            }
        }
        Ok(())
    }

    /// How many counters and parts of histograms there are.
    pub fn series_count(&self) -> usize {
        self.growing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE a_total counter\na_total{x=\"a b\"} 3\n# TYPE h histogram\n\
        h_bucket{x=\"1\",le=\"10.0\"} 1\nh_bucket{x=\"1\",le=\"+Inf\"} 4\nh_sum{x=\"1\"} 99\n\
        h_count{x=\"1\"} 4\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n";

    #[test]
    fn a_good_page_is_read() {
        let page = Page::parse(PAGE).unwrap();
        assert_eq!(page.series_count(), 8);
        assert_eq!(page.check_since(&page), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (right, wrong) in [
            ("h_count{x=\"1\"} 4", "h_count{x=\"1\"} 5"),
            ("le=\"10.0\"} 1", "le=\"10.0\"} 5"),
            ("h_bucket{le=\"+Inf\"} 0\n", ""),
            ("a_total{x=\"a b\"} 3", "a_total{x=\"a b\"} three"),
            ("a_total{x=\"a b\"} 3", "b_total 3"),
            ("h_sum 0\n", "h_sum 0\nh_sum 0\n"),
        ] {
            let page = PAGE.replacen(right, wrong, 1);
            assert!(Page::parse(&page).is_err(), "{page}");
        }
        let before = Page::parse(PAGE).unwrap();
        let fallen = Page::parse(&PAGE.replace("a_total{x=\"a b\"} 3", "a_total{x=\"a b\"} 2"));
        assert!(fallen.unwrap().check_since(&before).is_err());
        assert!(Page::default().check_since(&before).is_err());
        let usage =
            "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total{pid=\"1\"} 2\n";
        let usage = Page::parse(usage).unwrap();
        assert_eq!(Page::default().check_since(&usage), Ok(()));
    }
}
