//! Numbers for people: exact integers, short floats, `12.5 ms`, `2 KiB`; and durations from people.

use std::time::Duration;

use crate::views::Amount;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Units {
    /// Plain base units, for machines and for exactness.
    pub(crate) raw: bool,
    /// `us` for `µs`.
    pub(crate) ascii: bool,
}

impl Units {
    /// `amount` of the base unit `unit`: integers exact, seconds and bytes with a prefix.
    pub(crate) fn amount(self, amount: Amount, unit: &str) -> String {
        match unit {
            _ if self.raw => plain(amount),
            "seconds" => self.seconds(amount.as_f64()),
            "bytes" => bytes(amount),
            _ => plain(amount),
        }
    }

    /// A derived number, as a mean or a percentile, of the base unit `unit`.
    pub(crate) fn float(self, value: f64, unit: &str) -> String {
        match unit {
            "seconds" | "bytes" if !self.raw => self.amount(Amount::Float(value), unit),
            _ if self.raw => plain(Amount::Float(value)),
            _ => digits(value, 4),
        }
    }

    /// `per_second` of the base unit `unit` in each second.
    pub(crate) fn rate(self, per_second: f64, unit: &str) -> String {
        let text = self.float(per_second, unit);
        if self.raw { text } else { format!("{text}/s") }
    }

    fn seconds(self, seconds: f64) -> String {
        let micro = if self.ascii { "us" } else { "µs" };
        if !seconds.is_finite() {
            return plain(Amount::Float(seconds));
        }
        let (factor, suffix) = match seconds.abs() {
            0.0 => (1.0, "s"),
            small if small < 0.999_95e-6 => (1e9, "ns"),
            small if small < 0.999_95e-3 => (1e6, micro),
            small if small < 0.999_95 => (1e3, "ms"),
            _ => (1.0, "s"),
        };
        format!("{} {suffix}", digits(seconds * factor, 4))
    }
}

/// Bytes with a binary prefix; below 1 KiB exact.
pub(crate) fn bytes(amount: Amount) -> String {
    const PREFIXES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = amount.as_f64();
    if !value.is_finite() {
        return plain(amount);
    }
    if value.abs() < 1024.0 {
        return format!("{} B", digits(value, 4));
    }
    let mut prefix = 0;
    value /= 1024.0;
    while value.abs() >= 1023.95 && prefix + 1 < PREFIXES.len() {
        value /= 1024.0;
        prefix += 1;
    }
    format!("{} {}", digits(value, 4), PREFIXES[prefix])
}

/// Whole bytes, as sizes of tables are.
pub(crate) fn size(count: u64) -> String {
    bytes(Amount::Unsigned(u128::from(count)))
}

/// `1 hint`, `2 hints`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// A share in percent, with a decimal where it matters.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        tiny if tiny > 0.0 && tiny < 0.1 => "<0.1%".into(),
        some if some < 99.95 => format!("{some:.1}%"),
        all => format!("{all:.0}%"),
    }
}

/// The number and nothing else; a float as short as it can be without losing a digit.
pub(crate) fn plain(amount: Amount) -> String {
    match amount {
        Amount::Unsigned(value) => value.to_string(),
        Amount::Signed(value) => value.to_string(),
        Amount::Float(value) if value.is_nan() => "NaN".into(),
        Amount::Float(value) if value.is_infinite() => {
            if value > 0.0 { "+Inf" } else { "-Inf" }.into()
        }
        Amount::Float(value) => match value.abs() {
            0.0 => "0".into(),
            usual if (1e-5..1e16).contains(&usual) => value.to_string(),
            _ => format!("{value:e}"),
        },
    }
}

/// `value` with at least `count` significant digits, none lost before the point, no trailing zeros.
pub(crate) fn digits(value: f64, count: usize) -> String {
    if !value.is_finite() || value == 0.0 || !(1e-4..1e15).contains(&value.abs()) {
        return plain(Amount::Float(value));
    }
    // The exponent after rounding, from the formatter itself.
    let rounded = format!("{value:.*e}", count.saturating_sub(1));
    let exponent = rounded
        .split_once('e')
        .map_or("0", |(_, exponent)| exponent);
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let wanted = i64::try_from(count).unwrap_or(i64::MAX);
    let decimals = usize::try_from(wanted.saturating_sub(1 + exponent)).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// `500ms`, `1s`, `1.5`, `2m`, `1h`: a time of at least a millisecond and at most a day.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("give a number with ms, s, m or h".into()),
    };
    let value: f64 = number
        .parse()
        .map_err(|_| "give a time such as 500ms, 1s or 2m")?;
    let seconds = value * seconds;
    if (1e-3..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("give a time from 1ms to 24h".into())
    }
}

/// `4096`, `512KiB`, `64MiB`, `1GiB`: a size of at least 64 KiB.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[number.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("give a size with KiB, MiB or GiB".into()),
    };
    let count: u64 = number
        .parse()
        .map_err(|_| "give a size such as 64MiB or 1GiB")?;
    match count.checked_mul(unit) {
        Some(bytes) if bytes >= 64 << 10 => Ok(bytes),
        _ => Err("give a size of 64KiB or more".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUMAN: Units = Units {
        raw: false,
        ascii: false,
    };

    #[test]
    fn seconds_take_the_prefix_that_fits() {
        let say = |value| HUMAN.amount(Amount::Float(value), "seconds");
        assert_eq!(say(0.0), "0 s");
        assert_eq!(say(8.5e-7), "850 ns");
        assert_eq!(say(12.34e-6), "12.34 µs");
        assert_eq!(say(0.0125), "12.5 ms");
        assert_eq!(say(0.999_99), "1 s");
        assert_eq!(say(1.0), "1 s");
        assert_eq!(say(-0.25), "-250 ms");
        assert_eq!(say(86_400.5), "86400 s");
        assert_eq!(say(f64::NAN), "NaN");
        let ascii = Units {
            ascii: true,
            ..HUMAN
        };
        assert_eq!(ascii.amount(Amount::Float(1e-6), "seconds"), "1 us");
    }

    #[test]
    fn bytes_take_binary_prefixes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1 KiB");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1 << 20), "1 MiB");
        assert_eq!(size((1 << 20) - 1), "1 MiB");
        assert_eq!(size(u64::MAX), "16 EiB");
        assert_eq!(HUMAN.amount(Amount::Signed(-2048), "bytes"), "-2 KiB");
    }

    #[test]
    fn integers_stay_exact_and_raw_is_plain() {
        let most = Amount::Unsigned(u128::from(u64::MAX));
        assert_eq!(HUMAN.amount(most, ""), "18446744073709551615");
        let raw = Units { raw: true, ..HUMAN };
        assert_eq!(raw.amount(most, "bytes"), "18446744073709551615");
        assert_eq!(raw.amount(Amount::Float(0.0125), "seconds"), "0.0125");
    }

    #[test]
    fn floats_are_short_and_lose_nothing() {
        let say = |value| plain(Amount::Float(value));
        assert_eq!(say(0.1), "0.1");
        assert_eq!(say(-0.0), "0");
        assert_eq!(say(1e300), "1e300");
        assert_eq!(say(2.5e-9), "2.5e-9");
        assert_eq!(say(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn digits_keep_what_stands_before_the_point() {
        assert_eq!(digits(1_234_567.89, 4), "1234568");
        assert_eq!(digits(12.345, 4), "12.35");
        assert_eq!(digits(99.0, 4), "99");
        assert_eq!(digits(0.012_345, 4), "0.01235");
        assert_eq!(digits(100.0, 2), "100");
    }

    #[test]
    fn percents_show_that_there_is_something() {
        assert_eq!(percent(0.0), "0.0%");
        assert_eq!(percent(0.000_1), "<0.1%");
        assert_eq!(percent(0.805), "80.5%");
        assert_eq!(percent(1.0), "100%");
    }

    #[test]
    fn durations_need_a_sensible_time() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "0", "-1s", "1d", "nan", "inf", "s", "9999h", "1 s x"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        assert_eq!(parse_size("65536"), Ok(65_536));
        for wrong in [
            "",
            "1",
            "-1M",
            "1MB",
            "64 MiB",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
