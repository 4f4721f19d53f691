//! The exporter's metrics about itself and about the health of its segments.

mod push;

use std::time::UNIX_EPOCH;

use tachograph::{LossClass, Number, Removals};

use crate::negotiate::Format;
use crate::number::push_number;
use crate::openmetrics::{self, Declared};
use crate::plan::Cause;
use crate::plan::{push_header, push_label};
use crate::processes::Usage;
use crate::protobuf::{self, Heading};
use crate::report::{ConflictReport, Digest, Report, State};
use crate::status::Refusal;
use crate::wanted::Wanted;

/// Appends those of the exporter's own families that are `wanted`, by name, unless `format` is JSON. Writers
/// cannot register names with their prefix.
pub fn push_own_metrics(out: &mut Vec<u8>, report: &Report, format: Format, wanted: &Wanted) {
    if format == Format::Json {
        return;
    }
    let mut own = Own {
        out,
        report,
        format,
        wanted,
    };
    own.usages();
    own.damage();
    own.exporter();
    own.overflows();
    own.pages();
    own.processes();
    own.registrations();
    own.segments();
    own.tables();
    own.updates();
}

struct Own<'a> {
    out: &'a mut Vec<u8>,
    report: &'a Report,
    format: Format,
    wanted: &'a Wanted,
}

/// The lines of one family.
struct Samples<'a> {
    out: &'a mut Vec<u8>,
    name: &'a str,
    kind: &'a str,
    format: Format,
}

impl Samples<'_> {
    fn add(&mut self, labels: &[(&str, &str)], number: Number) {
        if self.format == Format::Protobuf {
            let mut encoded = Vec::new();
            for (name, value) in labels {
                protobuf::push_label(&mut encoded, name, value);
            }
            protobuf::push_sample(self.out, &encoded, self.kind, number.as_f64());
            return;
        }
        self.out.extend_from_slice(self.name.as_bytes());
        if !labels.is_empty() {
            self.out.push(b'{');
            for (name, value) in labels {
                push_label(self.out, name, value);
            }
            self.out.push(b'}');
        }
        self.out.push(b' ');
        push_number(self.out, number);
        self.out.push(b'\n');
    }

    fn count(&mut self, labels: &[(&str, &str)], count: usize) {
        self.add(labels, Number::Unsigned(count as u64));
    }
}

impl<'a> Own<'a> {
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        write: impl FnOnce(&mut Samples<'_>, &'a Report),
    ) {
        if !self.wanted.includes(name, kind) {
            return;
        }
        let (format, report) = (self.format, self.report);
        let write = |out: &mut Vec<u8>| {
            let mut samples = Samples {
                out,
                name,
                kind,
                format,
            };
            write(&mut samples, report);
        };
        let declared = Declared::new(name, kind);
        let unit = unit_of(declared.name);
        if format == Format::Protobuf {
            let heading = Heading {
                name,
                help,
                kind,
                unit,
            };
            protobuf::push_family(self.out, &heading, write);
            return;
        }
        let start = self.out.len();
        if format == Format::OpenMetrics {
            openmetrics::push_header(self.out, &declared, unit, help);
        } else {
            push_header(self.out, name, kind, help);
        }
        let header_end = self.out.len();
        write(self.out);
        if self.out.len() == header_end {
            self.out.truncate(start);
        }
    }

    /// A family with samples for each segment that was read.
    fn digests(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        write: impl Fn(&mut Samples<'_>, &'a str, &'a Digest),
    ) {
        self.family(name, kind, help, |samples, report| {
            for segment in &report.segments {
                if let Some(digest) = &segment.digest {
                    write(samples, &segment.label, digest);
                }
            }
        });
    }

    /// What the processes use, under the names that client libraries give it.
    fn usages(&mut self) {
        self.usage(
            "process_cpu_seconds_total",
            "counter",
            "Time that the process spent on a CPU.",
            |it| Some(Number::Float(it.cpu_seconds)),
        );
        self.usage(
            "process_max_fds",
            "gauge",
            "The most files that the process may open.",
            |it| it.max_files.map(Number::Float),
        );
        self.usage(
            "process_open_fds",
            "gauge",
            "Open files of the process.",
            |it| it.open_files.map(Number::Unsigned),
        );
        self.usage(
            "process_resident_memory_bytes",
            "gauge",
            "Memory that the process has.",
            |it| Some(Number::Unsigned(it.resident_bytes)),
        );
        self.usage(
            "process_start_time_seconds",
            "gauge",
            "When the process began, since the Unix epoch.",
            |it| Some(Number::Float(it.start_seconds)),
        );
        self.usage(
            "process_threads",
            "gauge",
            "Threads of the process.",
            |it| Some(Number::Unsigned(it.threads)),
        );
        self.usage(
            "process_virtual_memory_bytes",
            "gauge",
            "Addresses that the process has.",
            |it| Some(Number::Unsigned(it.virtual_bytes)),
        );
    }

    fn usage(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        number: impl Fn(&Usage) -> Option<Number>,
    ) {
        let stem = Declared::new(name, kind).name;
        let is_stem = |taken: &String| taken.strip_suffix("_total").unwrap_or(taken) == stem;
        if self.report.taken.iter().any(is_stem) {
            return;
        }
        self.family(name, kind, help, |samples, report| {
            for segment in &report.segments {
                for usage in &segment.usages {
                    let (pid, slot) = (usage.pid.to_string(), usage.slot.to_string());
                    let labels = [
                        ("segment", &*segment.label),
                        ("process", &*usage.name),
                        ("pid", &*pid),
                        ("slot", &*slot),
                    ];
                    if let Some(number) = number(usage) {
                        samples.add(&labels, number);
                    }
                }
            }
        });
    }

    fn damage(&mut self) {
        self.digests(
            "tachograph_damage",
            "gauge",
            "Damage in the segment by where it is and what is wrong.",
            |samples, segment, digest| {
                for ((table, reason), &count) in &digest.damage {
                    let labels = [("segment", segment), ("table", table), ("reason", reason)];
                    samples.count(&labels, count);
                }
            },
        );
        self.digests(
            "tachograph_damaged_records",
            "gauge",
            "Damage in the segment: records skipped because they made no sense, series whose counts fell, missing memory.",
            |samples, segment, digest| samples.count(&[("segment", segment)], digest.damaged()),
        );
    }

    fn exporter(&mut self) {
        self.family(
            "tachograph_exporter_build_info",
            "info",
            "Version of the exporter; always 1.",
            |samples, _| {
                let version = env!("CARGO_PKG_VERSION");
                let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
                samples.count(&[("version", version), ("os", os), ("arch", arch)], 1);
            },
        );
        self.config();
        self.family(
            "tachograph_exporter_conflicts",
            "gauge",
            "Families, or series of them, that are not shown because their name is taken.",
            |samples, report| {
                for segment in &report.segments {
                    for cause in Cause::ALL {
                        let is_it =
                            |it: &&ConflictReport| it.segment == segment.label && it.cause == cause;
                        let labels = [("segment", &*segment.label), ("reason", cause.name())];
                        samples.count(&labels, report.conflicts.iter().filter(is_it).count());
                    }
                }
            },
        );
        self.pushes();
        self.refusals();
        self.family(
            "tachograph_exporter_scrape_duration_seconds",
            "gauge",
            "Time it took to read the segments and to render their families for this page.",
            |samples, report| samples.add(&[], Number::Float(report.duration.as_secs_f64())),
        );
        self.family(
            "tachograph_exporter_scrapes_refused_total",
            "counter",
            "Scrapes that were answered 503: too many at a time, or not ready in the time that the scraper waits.",
            |samples, report| {
                for (reason, count) in report.refusals.each() {
                    samples.add(&[("reason", reason)], Number::Unsigned(count));
                }
            },
        );
        self.family(
            "tachograph_exporter_scrapes_total",
            "counter",
            "Pages rendered; scrapes that overlap share one.",
            |samples, report| samples.add(&[], Number::Unsigned(report.scrapes)),
        );
    }

    fn config(&mut self) {
        self.family(
            "tachograph_exporter_config_last_reload_success_timestamp_seconds",
            "gauge",
            "When the configuration in use was read.",
            |samples, report| {
                let since = report.front.config_read_at.duration_since(UNIX_EPOCH);
                samples.add(&[], Number::Float(since.unwrap_or_default().as_secs_f64()));
            },
        );
        self.family(
            "tachograph_exporter_config_last_reload_successful",
            "gauge",
            "Whether the last attempt to read the configuration succeeded.",
            |samples, report| samples.count(&[], report.front.config_is_current.into()),
        );
    }

    fn refusals(&mut self) {
        self.family(
            "tachograph_exporter_refused_total",
            "counter",
            "Requests and connections that were refused.",
            |samples, report| {
                for (reason, name) in Refusal::ALL {
                    let count = report.front.refused(reason);
                    samples.add(&[("reason", name)], Number::Unsigned(count));
                }
            },
        );
    }

    fn overflows(&mut self) {
        self.digests(
            "tachograph_family_overflowed_total",
            "counter",
            "Registrations that were folded into the overflow series of a family.",
            |samples, segment, digest| {
                for (family, count) in &digest.overflowed {
                    let labels = [("segment", segment), ("family", family)];
                    samples.add(&labels, Number::Unsigned(*count));
                }
            },
        );
    }

    fn pages(&mut self) {
        self.losses(
            "tachograph_pages_lost_total",
            "Pages of the segment that a process could not have, with all that it adds there.",
            ("reason", LossClass::Page),
        );
    }

    fn processes(&mut self) {
        self.digests(
            "tachograph_process_recording",
            "gauge",
            "Living processes by how they record, and why.",
            |samples, segment, digest| {
                for (&(mode, reason), &count) in &digest.recordings {
                    let labels = [("segment", segment), ("mode", mode), ("reason", reason)];
                    samples.count(&labels, count);
                }
            },
        );
        self.digests(
            "tachograph_processes",
            "gauge",
            "Processes that hold a slot of the segment.",
            |samples, segment, digest| {
                for (state, count) in [("alive", digest.alive), ("dead", digest.dead)] {
                    samples.count(&[("segment", segment), ("state", state)], count);
                }
            },
        );
    }

    fn registrations(&mut self) {
        self.losses(
            "tachograph_registrations_lost_total",
            "Registrations that went to an overflow series or nowhere.",
            ("reason", LossClass::Registration),
        );
    }

    fn segments(&mut self) {
        self.family(
            "tachograph_segment_up",
            "gauge",
            "Whether the segment is attached and was read for this page.",
            |samples, report| {
                for segment in &report.segments {
                    let up = segment.state == State::Attached;
                    samples.count(&[("segment", &segment.label)], usize::from(up));
                }
            },
        );
        self.family(
            "tachograph_segments",
            "gauge",
            "Segments that are served or waited for.",
            |samples, report| samples.count(&[], report.segments.len()),
        );
        self.digests(
            "tachograph_series",
            "gauge",
            "Series registered in the segment.",
            |samples, segment, digest| samples.count(&[("segment", segment)], digest.series),
        );
        self.removals();
    }

    fn removals(&mut self) {
        let mut counted = |name, kind, help, count: fn(&Removals) -> u64| {
            self.digests(name, kind, help, |samples, segment, digest| {
                let count = Number::Unsigned(count(&digest.removals));
                samples.add(&[("segment", segment)], count);
            });
        };
        counted(
            "tachograph_series_reclaimed_total",
            "counter",
            "Removed series whose memory was freed for others.",
            |removals| removals.reclaimed,
        );
        counted(
            "tachograph_series_removed_total",
            "counter",
            "Series that were removed.",
            |removals| removals.removed,
        );
        counted(
            "tachograph_series_waiting",
            "gauge",
            "Removed series that a living process may still write to, or that nobody has looked at since.",
            |removals| removals.waiting,
        );
    }

    fn tables(&mut self) {
        self.digests(
            "tachograph_table_capacity_bytes",
            "gauge",
            "Memory that a table of the segment takes when it is full.",
            |samples, segment, digest| {
                for fill in &digest.tables {
                    let labels = [("segment", segment), ("table", fill.table)];
                    samples.add(&labels, Number::Unsigned(fill.capacity_bytes));
                }
            },
        );
        self.digests(
            "tachograph_table_committed_bytes",
            "gauge",
            "Memory that a table of the segment has taken so far.",
            |samples, segment, digest| {
                for fill in &digest.tables {
                    let labels = [("segment", segment), ("table", fill.table)];
                    samples.add(&labels, Number::Unsigned(fill.committed_bytes));
                }
            },
        );
        self.digests(
            "tachograph_table_used_ratio",
            "gauge",
            "How full a table of the segment is; registrations are lost at 1.",
            |samples, segment, digest| {
                for fill in digest.tables.iter().filter(|fill| fill.capacity > 0) {
                    #[expect(clippy::cast_precision_loss, reason = "a ratio is a float")]
                    let ratio = fill.used as f64 / fill.capacity as f64;
                    let labels = [("segment", segment), ("table", fill.table)];
                    samples.add(&labels, Number::Float(ratio));
                }
            },
        );
    }

    fn updates(&mut self) {
        self.losses(
            "tachograph_updates_lost_total",
            "Amounts added to counters, and values recorded in histograms, that could not be registered.",
            ("type", LossClass::Lost),
        );
        self.losses(
            "tachograph_updates_rejected_total",
            "Updates that were refused for their value.",
            ("reason", LossClass::Rejected),
        );
    }

    fn losses(&mut self, name: &str, help: &str, (label, class): (&str, LossClass)) {
        self.digests(name, "counter", help, |samples, segment, digest| {
            for (loss, count) in digest.losses.iter() {
                if loss.class() == class {
                    let labels = [("segment", segment), (label, loss.name())];
                    samples.add(&labels, Number::Unsigned(count));
                }
            }
        });
    }
}

/// The unit in which the exporter's own names end.
fn unit_of(name: &str) -> &'static str {
    let units = ["bytes", "ratio", "seconds"];
    let unit = units.into_iter().find(|unit| name.ends_with(unit));
    unit.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tachograph::{Losses, TableFill};

    use super::*;
    use crate::push::PushReport;
    use crate::report::{Refusals, SegmentReport};
    use crate::status::FrontReport;

    fn report() -> Report {
        let digest = Digest {
            this_boot: true,
            alive: 2,
            dead: 1,
            recordings: [(("rseq", "restartable sequences are registered"), 2)].into(),
            series: 7,
            families: 3,
            tables: vec![TableFill {
                table: "series",
                used: 7,
                capacity: 28,
                committed_bytes: 4096,
                capacity_bytes: 8192,
            }],
            losses: Losses::default(),
            removals: Removals::default(),
            overflowed: vec![("requests_total".into(), 3)],
            damage: [(("series".into(), "odd".into()), 2)].into(),
        };
        let segment = |label: &str, state, digest: Option<Digest>| SegmentReport {
            path: label.into(),
            usages: digest.is_some().then(usages).unwrap_or_default(),
            label: label.into(),
            state,
            digest,
        };
        Report {
            segments: vec![
                segment("a", State::Attached, Some(digest)),
                segment("b\"", State::Absent, None),
            ],
            conflicts: vec![ConflictReport {
                segment: "a".into(),
                cause: Cause::Unit,
                family: "x".into(),
                reason: "taken".into(),
            }],
            taken: vec!["process_threads".into()],
            front: FrontReport {
                config_read_at: UNIX_EPOCH + Duration::from_millis(1500),
                ..FrontReport::default()
            },
            pushes: vec![PushReport {
                receiver: "http://x".into(),
                protocol: "otlp",
                queue_bytes: 5,
                ..PushReport::default()
            }],
            scrapes: 4,
            refusals: Refusals { busy: 3, late: 1 },
            duration: Duration::from_micros(1500),
        }
    }

    fn usages() -> Vec<Usage> {
        vec![Usage {
            pid: 12,
            slot: 3,
            name: "web".into(),
            cpu_seconds: 1.5,
            resident_bytes: 4096,
            virtual_bytes: 8192,
            threads: 2,
            start_seconds: 1000.25,
            open_files: None,
            max_files: Some(f64::INFINITY),
        }]
    }

    fn page_bytes(format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        push_own_metrics(&mut out, &report(), format, &Wanted::default());
        out
    }

    fn page(format: Format) -> String {
        String::from_utf8(page_bytes(format)).unwrap()
    }

    #[test]
    fn every_family_is_there_in_order() {
        let page = page(Format::Text);
        for line in [
            "process_cpu_seconds_total{segment=\"a\",process=\"web\",pid=\"12\",slot=\"3\"} 1.5",
            "process_max_fds{segment=\"a\",process=\"web\",pid=\"12\",slot=\"3\"} +Inf",
            "process_resident_memory_bytes{segment=\"a\",process=\"web\",pid=\"12\",slot=\"3\"} 4096",
            "tachograph_damage{segment=\"a\",table=\"series\",reason=\"odd\"} 2",
            "tachograph_damaged_records{segment=\"a\"} 2",
            "tachograph_exporter_conflicts{segment=\"a\",reason=\"unit\"} 1",
            "tachograph_exporter_conflicts{segment=\"a\",reason=\"type\"} 0",
            "tachograph_exporter_conflicts{segment=\"b\\\"\",reason=\"unit\"} 0",
            "tachograph_exporter_push_queue_bytes{receiver=\"http://x\",protocol=\"otlp\"} 5",
            "tachograph_exporter_push_requests_total{receiver=\"http://x\",protocol=\"otlp\",outcome=\"unanswered\"} 0",
            "tachograph_exporter_scrapes_refused_total{reason=\"busy\"} 3",
            "tachograph_exporter_scrapes_refused_total{reason=\"late\"} 1",
            "tachograph_exporter_scrape_duration_seconds 0.0015",
            "tachograph_exporter_scrapes_total 4",
            "tachograph_family_overflowed_total{segment=\"a\",family=\"requests_total\"} 3",
            "tachograph_process_recording{segment=\"a\",mode=\"rseq\",reason=\"restartable sequences are registered\"} 2",
            "tachograph_pages_lost_total{segment=\"a\",reason=\"unwritable\"} 0",
            "tachograph_processes{segment=\"a\",state=\"alive\"} 2",
            "tachograph_processes{segment=\"a\",state=\"dead\"} 1",
            "tachograph_registrations_lost_total{segment=\"a\",reason=\"strings_full\"} 0",
            "tachograph_segment_up{segment=\"a\"} 1",
            "tachograph_segment_up{segment=\"b\\\"\"} 0",
            "tachograph_segments 2",
            "tachograph_series{segment=\"a\"} 7",
            "tachograph_table_used_ratio{segment=\"a\",table=\"series\"} 0.25",
            "tachograph_table_committed_bytes{segment=\"a\",table=\"series\"} 4096",
            "tachograph_table_capacity_bytes{segment=\"a\",table=\"series\"} 8192",
            "tachograph_updates_rejected_total{segment=\"a\",reason=\"nan\"} 0",
            "tachograph_updates_lost_total{segment=\"a\",type=\"histogram\"} 0",
        ] {
            assert!(page.lines().any(|it| it == line), "no {line} in\n{page}");
        }
        let names: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        // What cannot be seen, or is a family of a segment, is not there.
        assert!(!page.contains("process_open_fds") && !page.contains("process_threads"));
    }

    #[test]
    fn openmetrics_declares_them_otherwise() {
        let (text, openmetrics) = (page(Format::Text), page(Format::OpenMetrics));
        for line in [
            "# TYPE tachograph_exporter_build info",
            "# TYPE tachograph_exporter_scrapes counter",
            "# UNIT tachograph_table_capacity_bytes bytes",
        ] {
            assert!(openmetrics.lines().any(|it| it == line), "{openmetrics}");
        }
        assert_ne!(page_bytes(Format::Protobuf), b"");
        assert_eq!(page_bytes(Format::Json), b"");
        let samples = |page: &str| page.lines().filter(|it| !it.starts_with('#')).count();
        assert_eq!(samples(&text), samples(&openmetrics));
    }
}
