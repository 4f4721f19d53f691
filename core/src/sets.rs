//! Label sets as types: values of a bounded domain, sets of them, and sets with texts.

use std::borrow::Cow;

/// A label value of a bounded domain: an enum that derives it, a `bool`, or a [`Range`].
///
/// ```
/// use tachograph::LabelValue;
///
/// #[derive(Debug, Clone, Copy, PartialEq, LabelValue)]
/// enum Outcome {
///     Served,
///     TimedOut,
///     #[label(rename = "503")]
///     Refused,
/// }
///
/// assert_eq!(Outcome::TimedOut.to_string(), "timed_out");
/// assert_eq!("503".parse(), Ok(Outcome::Refused));
/// assert_eq!(Outcome::ALL.map(Outcome::as_str), ["served", "timed_out", "503"]);
/// ```
///
/// The derive writes `ALL`, `as_str`, `Display`, `FromStr`, `TryFrom<String>` and the conversion into
/// `&'static str`, all from one spelling: the variant's name in `snake_case`, or as `#[label(rename_all = "…")]` on
/// the enum and `#[label(rename = "…")]` on a variant say. For serde, let it use them:
/// `#[serde(try_from = "String", into = "&'static str")]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a label value of a bounded domain",
    label = "a bounded label value is an enum, a `bool` or a `Range`",
    note = "derive `LabelValue` on an enum; mark a field of any other text `#[label(text)]`"
)]
pub trait LabelValue: Copy + Send + Sync + 'static {
    /// How many values there are.
    const COUNT: usize;

    /// The value's place: less than `COUNT`, another one for every value.
    fn index(self) -> usize;

    /// The value at a place as it stands in the label.
    fn text(index: usize) -> Cow<'static, str>;
}

impl LabelValue for bool {
    const COUNT: usize = 2;

    #[inline(always)]
    fn index(self) -> usize {
        usize::from(self)
    }

    fn text(index: usize) -> Cow<'static, str> {
        if index == 0 { "false" } else { "true" }.into()
    }
}

/// A text that is no value of an enum of label values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLabel {
    /// The text.
    pub given: String,
    /// The values there are.
    pub known: &'static [&'static str],
}

impl std::fmt::Display for UnknownLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is none of {}", self.given, self.known.join(", "))
    }
}

impl std::error::Error for UnknownLabel {}

/// A number from `FROM` up to but not including `TO`; one outside is taken for the nearest inside.
///
/// ```
/// use tachograph::Range;
///
/// let device: Range<0, 8> = Range::new(3);
/// assert_eq!(device.get(), 3);
/// assert_eq!(Range::<0, 8>::new(100).get(), 7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range<const FROM: u32, const TO: u32>(u32);

impl<const FROM: u32, const TO: u32> Range<FROM, TO> {
    const IS_RANGE: () = assert!(FROM < TO, "a range has at least one number: FROM < TO");

    /// The number, or the nearest one of the range.
    #[inline(always)]
    pub const fn new(number: u32) -> Self {
        const { Self::IS_RANGE };
        if number < FROM {
            Range(FROM)
        } else if number >= TO {
            Range(TO - 1)
        } else {
            Range(number)
        }
    }

    /// The number.
    #[inline(always)]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const FROM: u32, const TO: u32> LabelValue for Range<FROM, TO> {
    const COUNT: usize = (TO - FROM) as usize;

    #[inline(always)]
    fn index(self) -> usize {
        (self.0 - FROM) as usize
    }

    fn text(index: usize) -> Cow<'static, str> {
        (FROM as usize + index).to_string().into()
    }
}

/// The labels of a family's series as a struct, or as an enum of one label: derive it.
///
/// A set of bounded values only is a [`BoundedSet`] as well, whose families are [`crate::Dense`]. A set with a
/// text makes a [`crate::Labelled`] family; its texts may be borrowed.
///
/// ```
/// use tachograph::{LabelSet, LabelValue};
///
/// #[derive(Clone, Copy, LabelValue)]
/// enum Method { Get, Post }
///
/// #[derive(LabelSet)]
/// struct Request<'a> {
///     method: Method,
///     #[label(rename = "endpoint")]
///     path: &'a str,
/// }
///
/// assert_eq!(Request::NAMES, ["method", "endpoint"]);
/// ```
///
/// Names are letters, digits and underscores, unless the set says `#[label(utf8_names)]`. Its families say it too:
/// see [`crate::Registration::utf8_names`].
///
/// ```
/// # use tachograph::LabelSet;
/// #[derive(LabelSet)]
/// #[label(utf8_names)]
/// struct Route<'a> {
///     #[label(rename = "http.route")]
///     route: &'a str,
/// }
///
/// assert_eq!(Route::NAMES, ["http.route"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a label set",
    note = "derive `LabelSet` on a struct of labels, or on an enum that is the only label"
)]
pub trait LabelSet {
    /// The set with `'static` in place of its lifetimes: what its families are declared with.
    type Static: LabelSet + 'static;

    /// The names of the labels, in the order of [`LabelSet::visit`].
    const NAMES: &'static [&'static str];

    /// Shows every value to a visitor, in the order of the names.
    fn visit(&self, visitor: &mut impl LabelVisitor);
}

/// What looks at the values of a label set, one after another.
pub trait LabelVisitor {
    /// A value that is any text.
    fn text(&mut self, value: &str);

    /// A value that is any integer.
    fn number(&mut self, value: i128);

    /// A value of a bounded domain.
    fn bounded<V: LabelValue>(&mut self, value: V);
}

/// A label set of bounded values only: its combinations are counted, and each has a place.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a bounded label set",
    label = "`Dense` has a series for every combination of bounded values",
    note = "a set with a text has no such block: use `Labelled` for it"
)]
pub trait BoundedSet: LabelSet + Copy + 'static {
    /// How many combinations there are.
    const COUNT: usize;

    /// The combination's place: less than `COUNT`, another one for every combination.
    fn index(self) -> usize;

    /// The values of the combination at a place, in the order of the names.
    fn texts(index: usize) -> Vec<Cow<'static, str>>;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_keep_to_their_domain() {
        assert_eq!(Range::<2, 5>::new(0).index(), 0);
        assert_eq!(Range::<2, 5>::new(4).index(), 2);
        assert_eq!(Range::<2, 5>::new(u32::MAX).index(), 2);
        assert_eq!(Range::<2, 5>::COUNT, 3);
        assert_eq!(Range::<2, 5>::text(2), "4");
        assert_eq!(
            [false, true].map(|value| bool::text(value.index())),
            ["false", "true"]
        );
    }
}
