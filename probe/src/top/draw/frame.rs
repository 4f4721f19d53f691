//! The lines above and below every page.

use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::Look;
use crate::clock;
use crate::frame::Frame;
use crate::table::Align;
use crate::terminal::{Paint, printable};
use crate::top::model::{Model, Origin, Page};
use crate::top::warnings::warnings;
use crate::units;

/// A screen lower than this has no line for warnings.
const LOW: usize = 12;

pub(super) fn head(model: &Model, look: &Look, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut lines = vec![title(model, look, width)];
    let warning = warning(model);
    let line = warning.map(|(paint, text)| look.line(paint, look.fit(&text, width, Align::Left)));
    if let Some(frame) = model.track.frame() {
        let mut facts = facts(model, frame);
        let count = warnings(&model.track).len();
        if height < LOW && count > 0 {
            facts.insert(0, format!("! {count}"));
        }
        lines.push(match &line {
            Some(line) if height < LOW && (model.trouble.is_some() || model.news.is_some()) => {
                line.clone()
            }
            _ => look.line(Paint::Plain, joined(&facts, look, width)),
        });
    }
    if height >= LOW {
        lines.extend(line);
    }
    lines
}

/// The segment, what is shown of it, and when that was.
fn title(model: &Model, look: &Look, width: usize) -> Line<'static> {
    let frame = model.track.frame();
    let path = frame.map_or("", |frame| frame.health.path.as_str());
    let time = frame.map(|frame| clock::utc(frame.time_unix_nanos));
    let time = time.unwrap_or_default();
    let (paint, state) = state(model);
    let clock = if width < 60 {
        time.split(' ').nth(1).unwrap_or_default()
    } else {
        time.as_str()
    };
    let right = format!(" {state}  {clock}");
    let room = width.saturating_sub(right.width());
    let path = from_end(&printable(path), room);
    Line::from(vec![
        look.span(Paint::Header, look.fit(&path, room, Align::Left)),
        Span::styled(look.text(&format!(" {state}")), look.style(paint)),
        look.span(Paint::Dim, format!("  {clock}")),
    ])
}

fn state(model: &Model) -> (Paint, String) {
    let every = units::digits(model.interval.as_secs_f64(), 2);
    match (model.origin, model.is_held) {
        (Origin::Live, false) => (Paint::Good, format!("live {every}s")),
        (Origin::Live, true) => (Paint::Warning, format!("paused -{}", behind(model))),
        (Origin::Recording, false) => (Paint::Good, "playing".into()),
        (Origin::Recording, true) => (Paint::Warning, format!("replay -{}", behind(model))),
    }
}

/// How far what is shown lies behind the last look.
fn behind(model: &Model) -> String {
    let last = model.tape.time(model.tape.end().saturating_sub(1));
    let shown = model.tape.time(model.at);
    match (shown, last) {
        (Some(shown), Some(last)) => clock::age(shown, last),
        _ => "?".into(),
    }
}

/// The end of a path is what tells it from others.
fn from_end(path: &str, width: usize) -> String {
    let count = path.chars().count();
    if count <= width || width < 2 {
        return path.to_owned();
    }
    let kept = path.chars().skip(count - (width - 1));
    format!("…{}", kept.collect::<String>())
}

/// Facts in the order in which they are left out on a narrow screen, the last first.
fn facts(model: &Model, frame: &Frame) -> Vec<String> {
    let alive = frame.processes(true);
    let slow = frame.health.processes.iter();
    let slow = slow.filter(|process| process.is_slow()).count();
    let fullest = frame
        .health
        .tables
        .iter()
        .max_by(|a, b| a.share().total_cmp(&b.share()));
    let mode = match (alive, slow) {
        (0, _) => "nobody records".to_owned(),
        (_, 0) => "rseq".to_owned(),
        (alive, slow) => format!("{slow}/{alive} fallback"),
    };
    let mut facts = vec![
        format!("{alive} alive"),
        format!("{} dead", frame.processes(false)),
        format!("lost {}", frame.lost()),
        mode,
        format!("{} series", frame.directory.len()),
    ];
    if let Some(table) = fullest {
        facts.push(format!(
            "fullest table: {} {}",
            table.name,
            units::percent(table.share())
        ));
    }
    if !model.filter.is_empty() {
        facts.push(format!("filter {}", model.filter));
    }
    facts
}

fn joined(facts: &[String], look: &Look, width: usize) -> String {
    let gap = if look.terminal.utf8 { " · " } else { " - " };
    let mut text = String::new();
    for fact in facts {
        let more = if text.is_empty() { 0 } else { gap.width() } + fact.width();
        if text.width() + more > width {
            break;
        }
        if !text.is_empty() {
            text.push_str(gap);
        }
        text.push_str(fact);
    }
    text
}

fn warning(model: &Model) -> Option<(Paint, String)> {
    if let Some(trouble) = &model.trouble {
        return Some((Paint::Bad, format!("! {}", printable(trouble))));
    }
    if let Some(news) = &model.news {
        return Some((Paint::Warning, format!("! {}", printable(news))));
    }
    let all = warnings(&model.track);
    let first = all.first()?;
    let more = match all.len() {
        1 => String::new(),
        count => format!("({count} warnings: key 4) "),
    };
    Some((Paint::Warning, format!("! {more}{}", printable(first))))
}

/// What the keys do here, or the filter that is typed.
pub(super) fn foot(model: &Model, look: &Look, width: usize) -> Line<'static> {
    if let Some(typed) = &model.typed {
        let text = format!("/{typed}_  Enter keeps, Esc gives up");
        return look.line(
            Paint::Header,
            look.fit(&printable(&text), width, Align::Left),
        );
    }
    let page = if model.opened.is_some() || model.is_help {
        String::new()
    } else {
        let position = model.page as usize + 1;
        format!("{position}/4 {}", model.page.title())
    };
    let mut text = page;
    for hint in hints(model) {
        let gap = if text.is_empty() { "" } else { "  " };
        if text.width() + gap.len() + hint.len() <= width {
            text = text + gap + hint;
        }
    }
    look.line(Paint::Dim, look.fit(&text, width, Align::Left))
}

/// What the keys do here, the most important first.
fn hints(model: &Model) -> &'static [&'static str] {
    if model.is_help {
        return &["any key: back"];
    }
    if model.opened.is_some() {
        return &[
            "Esc back",
            "? help",
            "w window/total",
            "space pause",
            "[ ] time",
            "q quit",
        ];
    }
    match model.page {
        Page::Series => &[
            "? help",
            "q quit",
            "/ filter",
            "Enter open",
            "Tab page",
            "s sort",
            "space pause",
            "[ ] time",
        ],
        Page::Families => &[
            "? help",
            "q quit",
            "Enter series",
            "Tab page",
            "space pause",
            "[ ] time",
        ],
        Page::Processes | Page::Health => {
            &["? help", "q quit", "Tab page", "space pause", "[ ] time"]
        }
    }
}
