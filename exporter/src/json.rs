//! Snapshots as JSON: for each segment what `tachograph-probe dump` prints of it.
//!
//! The field names are a promise; `docs/PROBE.md` lists them.

use tachograph::{
    Exemplar, Family, FamilyView, HistogramView, Kind, Number, ProcessValue, Refused, Scale,
    SegmentInfo, Snapshot, ValueView,
};

use crate::number::push_integer;
use crate::source::Reading;
use crate::wanted::Wanted;

/// Renders the document of `readings`, with the families that are `wanted`, in place of what `page` holds.
pub(crate) fn render(readings: &[Reading], wanted: &Wanted, page: &mut Vec<u8>) {
    page.clear();
    Json(page).object(|json| {
        json.list("segments", readings, |json, reading| {
            json.object(|json| {
                json.text("label", &reading.label);
                json.text("path", &reading.path.display().to_string());
                json.text("state", &reading.state.to_string());
                match &reading.snapshot {
                    Some(snapshot) => json
                        .field("snapshot")
                        .object(|it| it.snapshot(snapshot, wanted)),
                    None => json.field("snapshot").null(),
                }
            });
        });
    });
    page.push(b'\n');
}

/// Renders the document of one snapshot in place of what `page` holds.
pub fn render_snapshot(snapshot: &Snapshot, page: &mut Vec<u8>) {
    page.clear();
    Json(page).object(|json| json.snapshot(snapshot, &Wanted::default()));
}

/// A document in the making.
struct Json<'a>(&'a mut Vec<u8>);

/// The grammar.
impl Json<'_> {
    /// Separates what follows from what is there.
    fn separate(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(b',');
        }
    }

    fn object(&mut self, write: impl FnOnce(&mut Json<'_>)) {
        self.separate();
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    fn field(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.0.push(b':');
        self
    }

    fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(&mut Json<'_>, T),
    ) {
        self.field(name).0.push(b'[');
        for item in items {
            write(self, item);
        }
        self.0.push(b']');
    }

    fn raw(&mut self, token: &str) {
        self.separate();
        self.0.extend_from_slice(token.as_bytes());
    }

    fn null(&mut self) {
        self.raw("null");
    }

    fn string(&mut self, text: &str) {
        self.separate();
        self.0.push(b'"');
        crate::escape::push_json(self.0, text);
        self.0.push(b'"');
    }

    fn integer(&mut self, value: impl itoa::Integer) {
        self.separate();
        push_integer(self.0, value);
    }

    /// JSON has neither NaN nor infinities: they are strings.
    fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.raw(zmij::Buffer::new().format_finite(value));
        } else if value.is_nan() {
            self.string("NaN");
        } else {
            self.string(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.field(name).string(text);
    }

    fn count(&mut self, name: &str, count: u64) {
        self.field(name).integer(count);
    }

    fn flag(&mut self, name: &str, holds: bool) {
        self.field(name).raw(if holds { "true" } else { "false" });
    }
}

/// What there is to say.
impl Json<'_> {
    fn snapshot(&mut self, snapshot: &Snapshot, wanted: &Wanted) {
        // The version of the form, by which the probe knows a dump.
        self.count("tachograph_dump", 1);
        self.count("time_unix_nanos", snapshot.time_unix_nanos);
        self.field("segment")
            .object(|json| json.segment(&snapshot.segment));
        let families = snapshot.families();
        let families =
            families.filter(|it| wanted.includes(&it.family.name, it.family.kind.name()));
        self.list("families", families, |json, family| {
            json.object(|json| json.family(&family));
        });
        self.processes(snapshot);
        self.field("losses").object(|json| {
            for (loss, count) in snapshot.losses.iter() {
                json.count(loss.name(), count);
            }
        });
        let removals = &snapshot.removals;
        self.field("removals").object(|json| {
            json.count("removed", removals.removed);
            json.count("reclaimed", removals.reclaimed);
            json.count("waiting", removals.waiting);
            json.count("untracked", removals.untracked);
        });
        self.list("damage", &snapshot.damage, |json, damage| {
            json.object(|json| {
                json.text("table", damage.table);
                json.count("index", damage.index);
                json.text("reason", &damage.reason);
            });
        });
    }

    fn segment(&mut self, info: &SegmentInfo) {
        self.text("path", &info.path.display().to_string());
        // In hexadecimal: 64 bits do not survive every parser.
        self.text("instance", &format!("{:016x}", info.instance));
        self.text("version", &format!("{}.{}", info.version.0, info.version.1));
        self.count("created_unix_nanos", info.created_unix_nanos);
        self.flag("this_boot", info.this_boot);
        self.count("cpu_shards", info.cpu_shards.into());
        self.count("fallback_shards", info.fallback_shards.into());
        self.count("bytes", info.bytes);
        let committed = info.tables.iter().map(|table| table.committed_bytes).sum();
        self.count("committed_bytes", committed);
        self.list("tables", &info.tables, |json, fill| {
            json.object(|json| {
                #[expect(clippy::cast_precision_loss, reason = "a percentage is rounded anyway")]
                let share = fill.used as f64 / fill.capacity.max(1) as f64;
                json.text("table", fill.table);
                json.count("used", fill.used);
                json.count("capacity", fill.capacity);
                json.field("percent").float((share * 1e6).round() / 1e4);
                json.count("committed_bytes", fill.committed_bytes);
                json.count("capacity_bytes", fill.capacity_bytes);
            });
        });
    }

    fn processes(&mut self, snapshot: &Snapshot) {
        let mut processes: Vec<_> = snapshot.processes.iter().collect();
        processes.sort_by_key(|process| process.slot);
        self.list("processes", processes, |json, process| {
            json.object(|json| {
                json.count("slot", process.slot.into());
                json.count("generation", process.generation);
                json.count("pid", process.pid.into());
                json.count("pid_namespace", process.pid_namespace);
                json.count("start_ticks", process.start_ticks);
                json.text("name", &process.name);
                json.flag("alive", process.alive);
                json.text("recording", process.recording.mode());
                json.text("reason", process.recording.reason());
                json.count("attached_unix_nanos", process.attached_unix_nanos);
                json.count("holds_removed", process.holds_removed);
            });
        });
    }

    fn family(&mut self, view: &FamilyView<'_>) {
        let family = view.family;
        self.text("name", &family.name);
        self.text("type", family.kind.name());
        let is_float = matches!(family.kind, Kind::CounterF64 | Kind::GaugeF64(_));
        self.flag("float", is_float);
        match family.kind.mode() {
            Some(mode) => self.text("mode", mode.name()),
            None => self.field("mode").null(),
        }
        self.text("unit", family.unit.base());
        let (multiplier, divisor) = family.unit.scale().parts();
        self.list("scale", [multiplier, divisor], |json, part| {
            json.integer(part)
        });
        self.layout(family);
        self.text("help", &family.help);
        self.list("states", &family.states, |json, state| json.string(state));
        self.count("series_count", family.series.len() as u64);
        self.count("series_limit", family.series_limit);
        self.count("overflowed", view.overflowed());
        self.count("series_bytes", family.series_bytes);
        if let Some(refused) = view.refused() {
            self.field("refused").object(|json| json.refused(refused));
        }
        self.list("series", view.series(), |json, series| {
            json.object(|json| {
                json.field("labels").object(|json| {
                    for label in series.series.labels.iter() {
                        json.text(label.name, label.value);
                    }
                });
                json.count("created_unix_nanos", series.series.created_unix_nanos);
                let (record, generation) = series.series.identity();
                let record = [u64::from(record), generation];
                json.list("record", record, |json, part| json.integer(part));
                json.value(family, series.value);
                if let ValueView::Number(number) = series.value {
                    json.recorded(number, family.unit.scale());
                }
                if series.exemplars().len() > 0 {
                    let scale = family.unit.scale();
                    json.list("exemplars", series.exemplars(), |json, exemplar| {
                        json.object(|json| json.exemplar(exemplar, scale));
                    });
                }
            });
        });
    }

    /// Registrations that asked for another definition.
    fn refused(&mut self, refused: &Refused) {
        self.count("count", refused.count);
        self.count("last_unix_nanos", refused.last_unix_nanos);
        let Some(first) = &refused.first else {
            return self.field("first").null();
        };
        self.field("first").object(|json| {
            json.count("pid", first.pid.into());
            json.text("property", &first.property);
            json.text("requested", &first.requested);
        });
    }

    /// How a histogram sorts values into buckets, in recorded units.
    fn layout(&mut self, family: &Family) {
        let Some(buckets) = &family.buckets else {
            return self.field("layout").null();
        };
        self.field("layout")
            .object(|json| match buckets.log_linear_parts() {
                Some((precision, highest)) => json.field("log_linear").object(|json| {
                    json.count("precision", precision.into());
                    json.count("highest", highest);
                }),
                None => {
                    let bounds = buckets.explicit_bounds().unwrap_or_default();
                    json.list("bounds", bounds, |json, &bound| json.integer(bound));
                }
            });
    }

    /// What was recorded, unless the base unit says the same.
    fn recorded(&mut self, number: Number, scale: Scale) {
        if !scale.is_one() {
            self.field("recorded").number(number, Scale::ONE);
        }
    }

    /// The value, under a key that tells its form.
    fn value(&mut self, family: &Family, value: ValueView<'_>) {
        let scale = family.unit.scale();
        match value {
            ValueView::Number(number) => self.field("value").number(number, scale),
            ValueView::Info => self.count("value", 1),
            ValueView::Absent => self.field("value").null(),
            ValueView::Each(values) => {
                self.list("each", values, |json, each| json.each(family, each));
            }
            ValueView::States(states) => self.field("states").object(|json| {
                for (state, &holds) in family.states.iter().zip(states) {
                    json.flag(state, holds);
                }
            }),
            ValueView::Histogram(view) => self
                .field("histogram")
                .object(|json| json.histogram(family, view)),
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar, scale: Scale) {
        self.text("trace_id", &exemplar.trace_id.to_string());
        self.text("span_id", &exemplar.span_id.to_string());
        self.field("value").number(exemplar.value, scale);
        self.recorded(exemplar.value, scale);
        self.count("time_unix_nanos", exemplar.time_unix_nanos);
    }

    fn number(&mut self, number: Number, scale: Scale) {
        match number.scaled(scale) {
            Number::Unsigned(value) => self.integer(value),
            Number::Signed(value) => self.integer(value),
            Number::Float(value) => self.float(value),
        }
    }

    fn each(&mut self, family: &Family, each: &ProcessValue) {
        self.object(|json| {
            json.count("slot", each.slot.into());
            json.count("pid", each.pid.into());
            json.field("value").number(each.value, family.unit.scale());
            json.recorded(each.value, family.unit.scale());
            if let Number::Signed(index) = each.value
                && let Ok(index) = usize::try_from(index)
                && let Some(state) = family.states.get(index)
            {
                json.text("state", state);
            }
        });
    }

    fn histogram(&mut self, family: &Family, view: HistogramView<'_>) {
        let Some(distribution) = view.distribution(family) else {
            return;
        };
        self.count("count", distribution.count());
        if family.unit.scale().is_one() {
            self.field("sum").integer(view.sum);
        } else {
            self.field("sum").float(distribution.sum());
        }
        self.field("recorded_sum").integer(view.sum);
        for (name, value) in [
            ("mean", distribution.mean()),
            ("min", distribution.min()),
            ("p50", distribution.quantile(0.5)),
            ("p90", distribution.quantile(0.9)),
            ("p99", distribution.quantile(0.99)),
            ("p999", distribution.quantile(0.999)),
            ("max", distribution.max()),
        ] {
            match value {
                Some(value) => self.field(name).float(value),
                None => self.field(name).null(),
            }
        }
        let filled = view.counts.iter().enumerate();
        let filled = filled.filter(|&(_, &count)| count > 0);
        let buckets = filled.zip(distribution.buckets());
        self.list("buckets", buckets, |json, ((index, _), bucket)| {
            let (lower, upper, count) = bucket;
            json.object(|json| {
                json.field("index").integer(index);
                json.field("lower").float(lower);
                json.field("upper").float(upper);
                json.count("count", count);
            });
        });
    }
}
