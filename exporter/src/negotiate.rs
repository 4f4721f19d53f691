//! Which format a scraper gets, by what it says that it accepts.
//!
//! Nothing here ever fails a scrape: a clause that makes no sense is passed over, and whoever asks for
//! nothing that there is gets the text format 0.0.4, which all can read.

use crate::escaping::Escaping;

/// What a page is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format.
    Text,
    /// OpenMetrics.
    OpenMetrics,
    /// Prometheus' protobuf format.
    Protobuf,
    /// JSON.
    Json,
}

/// How a page is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// Compressed, as all scrapers read it.
    Gzip,
    /// Compressed, in less time and to fewer bytes.
    Zstd,
}

/// What a client gets: a format, and how the answer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is rendered.
    pub format: Format,
    /// How names are told that not every scraper reads.
    pub escaping: Escaping,
    /// The value of `Content-Type`.
    pub content_type: String,
}

/// A format in one version.
struct Offer {
    media_type: &'static str,
    /// Empty where the format has none.
    version: &'static str,
    format: Format,
    schemes: Schemes,
}

/// Whether names can be asked for in a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schemes {
    /// They cannot: they have underscores.
    No,
    /// They can.
    IfAsked,
    /// They can, and the answer says the scheme in any case.
    Always,
}

const fn offer(
    media_type: &'static str,
    version: &'static str,
    format: Format,
    schemes: Schemes,
) -> Offer {
    Offer {
        media_type,
        version,
        format,
        schemes,
    }
}

const OPENMETRICS: &str = "application/openmetrics-text";
const PROTOBUF: &str = "application/vnd.google.protobuf";
/// The only message, and the only way of putting several into a row, that scrapers read.
const PROTOBUF_PARAMETERS: [(&str, &str); 2] = [
    ("proto", "io.prometheus.client.MetricFamily"),
    ("encoding", "delimited"),
];

/// All there is. Who names no version gets the oldest, which comes first; who takes anything, the first.
const OFFERS: [Offer; 6] = [
    offer("text/plain", "0.0.4", Format::Text, Schemes::No),
    offer("text/plain", "1.0.0", Format::Text, Schemes::Always),
    offer(OPENMETRICS, "0.0.1", Format::OpenMetrics, Schemes::No),
    offer(OPENMETRICS, "1.0.0", Format::OpenMetrics, Schemes::Always),
    offer(PROTOBUF, "", Format::Protobuf, Schemes::IfAsked),
    offer("application/json", "", Format::Json, Schemes::No),
];

/// The format for an `Accept` header: of the clauses that can be met the one of the highest quality, of
/// equal ones the first.
pub fn choose(accept: &str) -> Choice {
    let mut best: Option<(f32, Choice)> = None;
    for clause in clauses(accept) {
        let quality = clause.quality();
        let is_better = quality > best.as_ref().map_or(0.0, |(best, _)| *best);
        if is_better && let Some(offer) = clause.offer() {
            best = Some((quality, offer.choice(&clause)));
        }
    }
    best.map_or_else(|| OFFERS[0].choice(&Clause::NONE), |(_, choice)| choice)
}

/// The coding for an `Accept-Encoding` header: the most welcome one; of equal ones zstd before gzip before none.
/// Who takes anything gets gzip.
pub fn choose_coding(accept_encoding: &str) -> Coding {
    let quality_of = |names: &[&str]| {
        let is_named = |clause: &Clause<'_>| {
            let mut names = names.iter();
            names.any(|name| clause.name.eq_ignore_ascii_case(name))
        };
        let named = clauses(accept_encoding).find(is_named);
        named.map(|clause| clause.quality())
    };
    let gzip = quality_of(&["gzip", "x-gzip"]).or_else(|| quality_of(&["*"]));
    let gzip = gzip.unwrap_or(0.0);
    let zstd = quality_of(&["zstd"]).unwrap_or(0.0);
    let identity = quality_of(&["identity"]).unwrap_or(0.0);
    let is_best = |quality: f32, other: f32| quality > 0.0 && quality >= other.max(identity);
    match () {
        () if is_best(zstd, gzip) => Coding::Zstd,
        () if is_best(gzip, 0.0) => Coding::Gzip,
        () => Coding::Identity,
    }
}

/// One thing that is accepted: `name;parameter=value;…`
struct Clause<'a> {
    name: &'a str,
    parameters: &'a str,
}

fn clauses(header: &str) -> impl Iterator<Item = Clause<'_>> {
    header.split(',').map(|clause| {
        let (name, parameters) = clause.split_once(';').unwrap_or((clause, ""));
        Clause {
            name: name.trim(),
            parameters,
        }
    })
}

impl<'a> Clause<'a> {
    const NONE: Clause<'static> = Clause {
        name: "",
        parameters: "",
    };

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(';').find_map(|parameter| {
            let (found, value) = parameter.split_once('=')?;
            let is_it = found.trim().eq_ignore_ascii_case(name);
            is_it.then(|| value.trim().trim_matches('"'))
        })
    }

    /// From 0, not acceptable, to 1, which is also what is meant by no quality or a senseless one.
    fn quality(&self) -> f32 {
        let given = self.parameter("q").and_then(|text| text.parse().ok());
        given
            .filter(|quality| (0.0..=1.0).contains(quality))
            .unwrap_or(1.0)
    }

    fn offer(&self) -> Option<&'static Offer> {
        if matches!(self.name, "*/*" | "text/*") {
            return OFFERS.first();
        }
        let version = self.parameter("version");
        OFFERS.iter().find(|offer| {
            self.name.eq_ignore_ascii_case(offer.media_type)
                && offer
                    .parameters()
                    .iter()
                    .all(|it| self.parameter(it.0) == Some(it.1))
                && version.is_none_or(|version| version == offer.version)
        })
    }
}

impl Offer {
    /// What must be asked for, and is answered.
    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        match self.format {
            Format::Protobuf => &PROTOBUF_PARAMETERS,
            _ => &[],
        }
    }

    fn choice(&self, clause: &Clause<'_>) -> Choice {
        let mut content_type = self.media_type.to_owned();
        for (name, value) in self.parameters() {
            content_type += &format!("; {name}={value}");
        }
        if !self.version.is_empty() {
            content_type += "; version=";
            content_type += self.version;
            content_type += "; charset=utf-8";
        }
        let asked = clause.parameter("escaping").and_then(Escaping::named);
        let asked = asked.filter(|_| self.schemes != Schemes::No);
        let escaping = asked.unwrap_or_default();
        if self.schemes == Schemes::Always || asked.is_some() {
            content_type += "; escaping=";
            content_type += escaping.name();
        }
        Choice {
            format: self.format,
            escaping,
            content_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const OPENMETRICS_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn content_type(accept: &str) -> String {
        choose(accept).content_type
    }

    /// What scrapers send, as captured from them.
    #[test]
    fn real_scrapers() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let with_protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
            encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let victoria = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let underscores = format!("{OPENMETRICS_1}; escaping=underscores");
        for (accept, expected) in [
            (
                prometheus_3,
                &*format!("{OPENMETRICS_1}; escaping=allow-utf-8"),
            ),
            (prometheus_2, &*underscores),
            (
                with_protobuf,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
            ),
            (victoria, TEXT),
            (browser, TEXT),
            ("*/*", TEXT),
            ("", TEXT),
        ] {
            assert_eq!(content_type(accept), expected, "{accept}");
        }
    }

    #[test]
    fn versions_and_escapings() {
        let text_1 = "text/plain; version=1.0.0; charset=utf-8; escaping=";
        let openmetrics_0 = "application/openmetrics-text; version=0.0.1; charset=utf-8";
        for (accept, expected) in [
            ("text/plain", TEXT),
            ("text/plain;version=1.0.0", &*format!("{text_1}underscores")),
            (
                "text/plain;version=1.0.0;escaping=dots",
                &*format!("{text_1}dots"),
            ),
            (
                "text/plain; Version=\"1.0.0\" ;escaping = values",
                &*format!("{text_1}values"),
            ),
            (
                "text/plain;version=1.0.0;escaping=emoji",
                &*format!("{text_1}underscores"),
            ),
            ("text/plain;version=9.9.9", TEXT),
            (OPENMETRICS, openmetrics_0),
            ("Application/OpenMetrics-Text;version=0.0.1", openmetrics_0),
            ("application/openmetrics-text;version=2.0.0", TEXT),
            ("application/json", "application/json"),
            ("application/*", TEXT),
            ("application/vnd.google.protobuf", TEXT),
            (
                "application/vnd.google.protobuf;proto=other;encoding=delimited",
                TEXT,
            ),
        ] {
            assert_eq!(content_type(accept), expected, "{accept}");
        }
        // The escaping of one clause is not that of another.
        assert_eq!(
            content_type(
                "application/openmetrics-text;version=3;escaping=dots,text/plain;version=1.0.0;q=0.5"
            ),
            format!("{text_1}underscores")
        );
    }

    #[test]
    fn the_highest_quality_wins() {
        for (accept, expected) in [
            (
                "text/plain;q=0.1,application/json;q=0.2",
                "application/json",
            ),
            ("text/plain;q=0.2,application/json;q=0.1", TEXT),
            (
                "application/json;q=0.5,text/plain;q=0.5",
                "application/json",
            ),
            ("application/json;q=0", TEXT),
            ("application/json;q=0,text/plain;q=0.1", TEXT),
            ("application/json;q=2,text/plain;q=0.9", "application/json"),
            (
                "application/json;q=nan,text/plain;q=0.9",
                "application/json",
            ),
            // The header that the documentation gives as an example, with its slip.
            ("text/plain;version=0.0.4;q=0.2,/;q=0.1", TEXT),
            (",,;;=,;q,application/json;q", "application/json"),
        ] {
            assert_eq!(content_type(accept), expected, "{accept}");
        }
    }

    #[test]
    fn codings() {
        for (accepted, expected) in [
            ("gzip", Coding::Gzip),
            ("zstd, GZIP;q=0.5", Coding::Zstd),
            ("ZSTD;q=0.5, gzip", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("zstd;q=0, gzip;q=0.1", Coding::Gzip),
            ("zstd;q=0.3, identity;q=0.4", Coding::Identity),
            ("x-gzip", Coding::Gzip),
            ("*", Coding::Gzip),
            ("gzip;q=0.5, identity;q=0.5", Coding::Gzip),
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("br, deflate", Coding::Identity),
            ("gzip;q=0, *", Coding::Identity),
            ("*;q=0", Coding::Identity),
            ("gzip;q=0.5, identity", Coding::Identity),
        ] {
            assert_eq!(choose_coding(accepted), expected, "{accepted}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_an_answer_can_be_named(accept in "[a-z/*;,=q.0-9\" +-]{0,60}|.{0,60}") {
            let choice = choose(&accept);
            prop_assert!(choice.content_type.is_ascii());
            choose_coding(&accept);
        }
    }
}
