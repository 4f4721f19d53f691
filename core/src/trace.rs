//! Ids of traces and spans, as W3C's Trace Context writes them (<https://www.w3.org/TR/trace-context/>).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use crate::error::Error;

/// The id of a trace: 128 bits, not all zero; 32 lower-case hexadecimal digits as text.
///
/// ```
/// use tachograph::TraceId;
///
/// let trace: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
/// assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(TraceId::try_from(trace.to_bytes())?, trace);
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of a span: 64 bits, not all zero; 16 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

/// A span of a trace, and whether somebody keeps it.
///
/// ```
/// use tachograph::SpanContext;
///
/// let span = SpanContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
/// assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(span.span_id().to_string(), "00f067aa0ba902b7");
/// assert!(span.is_sampled());
/// # Ok::<(), tachograph::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanContext {
    trace_id: TraceId,
    span_id: SpanId,
    is_sampled: bool,
}

impl SpanContext {
    /// A span that is sampled.
    pub const fn new(trace_id: TraceId, span_id: SpanId) -> SpanContext {
        SpanContext {
            trace_id,
            span_id,
            is_sampled: true,
        }
    }

    /// The caller's span, from the value of a `traceparent` header.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is none: the message says which part is wrong.
    pub fn from_traceparent(header: &str) -> Result<SpanContext, Error> {
        let refused = |reason: &str| Error::Invalid {
            what: "traceparent",
            given: header.to_owned(),
            reason: reason.to_owned(),
        };
        let mut parts = header.split('-');
        let mut part = || parts.next().ok_or_else(|| refused("give four parts"));
        let (version, trace_id, span_id, flags) = (part()?, part()?, part()?, part()?);
        let version = digits("version of a traceparent", version, 2)?;
        let flags = digits("flags of a traceparent", flags, 2)?;
        // Later versions may add parts.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(refused("its version has not this form"));
        }
        Ok(SpanContext {
            trace_id: trace_id.parse()?,
            span_id: span_id.parse()?,
            is_sampled: flags & 1 == 1,
        })
    }

    /// The trace.
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span.
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the trace is kept: one that is not leaves no exemplar, which would lead nowhere.
    pub const fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

impl TraceId {
    /// The id in network byte order.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    pub(crate) fn from_number(number: u128) -> Option<TraceId> {
        NonZeroU128::new(number).map(TraceId)
    }

    pub(crate) const fn number(self) -> u128 {
        self.0.get()
    }
}

impl SpanId {
    /// The id in network byte order.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }

    pub(crate) fn from_number(number: u64) -> Option<SpanId> {
        NonZeroU64::new(number).map(SpanId)
    }

    pub(crate) const fn number(self) -> u64 {
        self.0.get()
    }
}

impl TryFrom<[u8; 16]> for TraceId {
    type Error = Error;

    /// An id in network byte order.
    fn try_from(bytes: [u8; 16]) -> Result<TraceId, Error> {
        let number = u128::from_be_bytes(bytes);
        TraceId::from_number(number).ok_or_else(|| zero("trace id", format!("{number:032x}")))
    }
}

impl TryFrom<[u8; 8]> for SpanId {
    type Error = Error;

    /// An id in network byte order.
    fn try_from(bytes: [u8; 8]) -> Result<SpanId, Error> {
        let number = u64::from_be_bytes(bytes);
        SpanId::from_number(number).ok_or_else(|| zero("span id", format!("{number:016x}")))
    }
}

impl FromStr for TraceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<TraceId, Error> {
        digits("trace id", text, 32)?.to_be_bytes().try_into()
    }
}

impl FromStr for SpanId {
    type Err = Error;

    fn from_str(text: &str) -> Result<SpanId, Error> {
        let number = digits("span id", text, 16)?;
        crate::word::low_word(number).to_be_bytes().try_into()
    }
}

/// A number of so many lower-case hexadecimal digits.
fn digits(what: &'static str, text: &str, count: usize) -> Result<u128, Error> {
    let refused = |reason: String| {
        Err(Error::Invalid {
            what,
            given: text.to_owned(),
            reason,
        })
    };
    let there = text.chars().count();
    if there != count {
        return refused(format!("it has {there} digits; give {count}"));
    }
    if let Some(wrong) = text.chars().find(|digit| !digit.is_ascii_hexdigit()) {
        return refused(format!("{wrong:?} is no hexadecimal digit"));
    }
    if text.chars().any(|digit| digit.is_ascii_uppercase()) {
        return refused("write it in lower case".into());
    }
    match u128::from_str_radix(text, 16) {
        Ok(number) => Ok(number),
        Err(error) => refused(error.to_string()),
    }
}

fn zero(what: &'static str, given: String) -> Error {
    Error::Invalid {
        what,
        given,
        reason: "all zeros stand for none".into(),
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn reason(result: Result<impl fmt::Debug, Error>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_reason() {
        for (text, expected) in [
            ("", "it has 0 digits; give 32"),
            (SPAN, "it has 16 digits; give 32"),
            (&TRACE.replace('f', "F"), "write it in lower case"),
            (&TRACE.replace('f', "g"), "'g' is no hexadecimal digit"),
            (&TRACE.replace('f', "é"), "'é' is no hexadecimal digit"),
            (&TRACE.replace('f', "+"), "'+' is no hexadecimal digit"),
            (&"0".repeat(32), "all zeros stand for none"),
        ] {
            let reason = reason(text.parse::<TraceId>());
            assert!(reason.contains(expected), "{text}: {reason}");
        }
        assert!(reason(TRACE.parse::<SpanId>()).contains("give 16"));
        assert!(reason(SpanId::try_from([0; 8])).contains("all zeros"));
        assert!(reason(TraceId::try_from([0; 16])).contains("all zeros"));
    }

    #[test]
    fn traceparents() {
        let parse = |version: &str, rest: &str| {
            SpanContext::from_traceparent(&format!("{version}-{TRACE}-{SPAN}-{rest}"))
        };
        let span = SpanContext::new(TRACE.parse().unwrap(), SPAN.parse().unwrap());
        assert_eq!(parse("00", "01").unwrap(), span);
        assert_eq!(parse("00", "ff").unwrap(), span);
        assert_eq!(parse("cc", "01-more").unwrap(), span);
        assert!(!parse("00", "02").unwrap().is_sampled());
        for (version, rest) in [("ff", "01"), ("00", "01-more"), ("0", "01"), ("00", "1")] {
            assert!(parse(version, rest).is_err(), "{version} {rest}");
        }
        for header in ["", "00", TRACE, &format!("00-{SPAN}-{TRACE}-01")] {
            assert!(SpanContext::from_traceparent(header).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn ids_survive_their_texts_and_bytes(trace in 1u128.., span in 1u64..) {
            let (trace, span) = (TraceId::from_number(trace).unwrap(), SpanId::from_number(span).unwrap());
            prop_assert_eq!(trace.to_string().parse::<TraceId>().unwrap(), trace);
            prop_assert_eq!(span.to_string().parse::<SpanId>().unwrap(), span);
            prop_assert_eq!(TraceId::try_from(trace.to_bytes()).unwrap(), trace);
            prop_assert_eq!(SpanId::try_from(span.to_bytes()).unwrap(), span);
        }

        #[test]
        fn a_text_that_is_read_is_the_text_of_the_id(text in "[0-9a-fA-Fg]{30,34}") {
            if let Ok(trace) = text.parse::<TraceId>() {
                prop_assert_eq!(trace.to_string(), text);
            }
        }

        #[test]
        fn no_header_panics(header in "\\PC*") {
            let _ = SpanContext::from_traceparent(&header);
        }
    }
}
