//! What an operator should look at, in a few words each.

use super::track::Track;
use crate::frame::Frame;
use crate::units;

/// A table fuller than this is worth a warning.
const FULL: f64 = 0.8;

/// The warnings of a moment, the gravest first.
pub(crate) fn warnings(track: &Track) -> Vec<String> {
    let Some(frame) = track.frame() else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    if !frame.health.this_boot {
        warnings.push("written before the last boot: history".to_owned());
    }
    if !frame.health.damage.is_empty() {
        warnings.push(format!(
            "{} damaged",
            of(frame.health.damage.len(), "record")
        ));
    }
    warnings.extend(full_tables(frame));
    warnings.extend(overflows(frame));
    warnings.extend(refusals(frame));
    warnings.extend(losses(frame));
    warnings.extend(processes(frame));
    let stale = track.stale_gauges();
    if stale > 0 {
        warnings.push(format!("{} unchanged for a minute", of(stale, "gauge")));
    }
    warnings
}

fn of(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn full_tables(frame: &Frame) -> Vec<String> {
    let tables = frame.health.tables.iter();
    tables
        .filter(|table| table.share() > FULL)
        .map(|table| {
            format!(
                "table {} {} full",
                table.name,
                units::percent(table.share())
            )
        })
        .collect()
}

fn overflows(frame: &Frame) -> Vec<String> {
    let families = frame.directory.families.iter();
    families
        .zip(&frame.health.overflowed)
        .filter(|&(_, &overflowed)| overflowed > 0)
        .map(|(family, overflowed)| {
            format!(
                "{} overflowed: {overflowed} registrations went to __other__",
                family.name
            )
        })
        .collect()
}

fn refusals(frame: &Frame) -> Vec<String> {
    let refused = frame.health.refused.iter().filter_map(|(at, refused)| {
        let family = frame.directory.families.get(*at)?;
        let count = usize::try_from(refused.count).unwrap_or(usize::MAX);
        let refusals = of(count, "registration");
        Some(format!(
            "{} is declared in two ways: {refusals} refused",
            family.name
        ))
    });
    refused.collect()
}

fn losses(frame: &Frame) -> Vec<String> {
    let losses = frame.health.losses.iter();
    losses
        .filter(|lost| lost.count > 0)
        .map(|lost| match lost.what.as_str() {
            "registrations" => format!(
                "{} registrations folded or lost ({})",
                lost.count, lost.reason
            ),
            what => format!("{} {what} ({})", lost.count, lost.reason),
        })
        .collect()
}

fn processes(frame: &Frame) -> Vec<String> {
    let processes = &frame.health.processes;
    let count = |is_meant: fn(&crate::frame::Process) -> bool| {
        processes.iter().filter(|process| is_meant(process)).count()
    };
    let slow = count(|process| process.is_slow());
    let dead = count(|process| !process.alive);
    let holding = count(|process| process.holds_removed > 0);
    let told = [
        (slow, "by the slower fallback"),
        (dead, "ended, and left its slot"),
        (holding, "with handles of removed series"),
    ];
    told.into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, words)| {
            let processes = if count == 1 { "process" } else { "processes" };
            format!("{count} {processes} {words}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::tests::sample;

    fn told(change: impl Fn(&mut Frame)) -> Vec<String> {
        let mut frame = sample(1).remove(0);
        change(&mut frame);
        let mut track = Track::default();
        track.feed(frame);
        warnings(&track)
    }

    #[test]
    fn a_sound_segment_has_none() {
        assert_eq!(told(|_| {}), [""; 0]);
    }

    #[test]
    fn each_trouble_is_told() {
        let full = told(|frame| {
            let table = &mut frame.health.tables[0];
            table.used = table.capacity;
        });
        assert_eq!(full, ["table processes 100% full"]);
        let over = told(|frame| frame.health.overflowed[0] = 3);
        assert_eq!(
            over,
            ["cpu_seconds_total overflowed: 3 registrations went to __other__"]
        );
        let refused = told(|frame| {
            let refused = crate::views::RefusedView {
                count: 1,
                last_unix_nanos: 5,
                first: None,
            };
            frame.health.refused.push((0, refused));
        });
        assert_eq!(
            refused,
            ["cpu_seconds_total is declared in two ways: 1 registration refused"]
        );
        let lost = told(|frame| frame.health.losses[0].count = 3);
        assert_eq!(lost, ["3 registrations folded or lost (series_limit)"]);
        let slow = told(|frame| frame.health.processes[0].recording = "fallback".into());
        assert_eq!(slow, ["1 process by the slower fallback"]);
        let dead = told(|frame| frame.health.processes[0].alive = false);
        assert_eq!(dead, ["1 process ended, and left its slot"]);
        let damage = told(|frame| frame.health.damage.push("bad".into()));
        assert_eq!(damage, ["1 record damaged"]);
        assert!(told(|frame| frame.health.this_boot = false)[0].contains("before the last boot"));
    }
}
