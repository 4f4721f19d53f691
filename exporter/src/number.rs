//! Numbers as they stand in an exposition.
//!
//! Integers are written as they are. Floats are written as Go's `%g` writes them with the fewest digits
//! that read back as the same float: `1`, `0.005`, `1e-05`, `1e+06`, `+Inf`, `NaN`. Bounds of buckets
//! are *canonical numbers*, the same with `.0` behind what would look like an integer, because scrapers
//! compare `le` as text.

use tachograph::Number;

/// Most significant digits of a shortest float.
const DIGITS_MAX: usize = 17;
/// From this decimal exponent on a float is written with an exponent.
const EXPONENT_MIN_LARGE: i32 = 6;
/// Below this decimal exponent a float is written with an exponent.
const EXPONENT_MAX_SMALL: i32 = -4;

/// Floats that are written without an exponent.
const PLAIN: std::ops::Range<f64> = 1e-4..1e6;

/// Appends a recorded number.
pub fn push_number(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Unsigned(value) => push_integer(out, value),
        Number::Signed(value) => push_integer(out, value),
        Number::Float(value) => push_float(out, value),
    }
}

/// Appends an integer.
pub fn push_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a float.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value).as_bytes();
    if PLAIN.contains(&value.abs()) && !shortest.contains(&b'e') {
        // Most floats: it is what is wanted already, or is with its `.0` taken off.
        out.extend_from_slice(shortest.strip_suffix(b".0").unwrap_or(shortest));
        return;
    }
    let unsigned = shortest.strip_prefix(b"-").unwrap_or(shortest);
    if unsigned.len() < shortest.len() {
        out.push(b'-');
    }
    let decimal = Decimal::parse(unsigned);
    let exponent = decimal.point - 1;
    if (EXPONENT_MAX_SMALL..EXPONENT_MIN_LARGE).contains(&exponent) {
        decimal.push_plain(out);
    } else {
        decimal.push_with_exponent(out, exponent);
    }
}

/// Appends a bound of a bucket.
pub fn push_canonical(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    push_float(out, value);
    let looks_like_integer = out[start..]
        .iter()
        .all(|&byte| !matches!(byte, b'.' | b'e'));
    if value.is_finite() && looks_like_integer {
        out.extend_from_slice(b".0");
    }
}

/// The decimal digits of a float: `0.d₁d₂… × 10^point`, without zeros at either end; zero is `0 × 10¹`.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    count: usize,
    point: i32,
}

impl Decimal {
    /// Reads `123.45`, `0.005`, `1.5e16` or `5e-324`.
    fn parse(text: &[u8]) -> Decimal {
        let mut decimal = Decimal {
            digits: [b'0'; DIGITS_MAX],
            count: 0,
            point: 0,
        };
        let mut past_point = false;
        let mut zeros = 0;
        let mut rest = text.iter();
        for &byte in rest.by_ref() {
            match byte {
                b'.' => past_point = true,
                b'e' => break,
                _ => {
                    decimal.point += i32::from(!past_point && (decimal.count > 0 || byte != b'0'));
                    decimal.point -= i32::from(past_point && decimal.count == 0 && byte == b'0');
                    if byte == b'0' {
                        zeros += usize::from(decimal.count > 0);
                    } else {
                        // Zeros count only once a digit follows them.
                        decimal.count += zeros;
                        zeros = 0;
                        decimal.digits[decimal.count] = byte;
                        decimal.count += 1;
                    }
                }
            }
        }
        decimal.point += parse_exponent(rest.as_slice());
        if decimal.count == 0 {
            (decimal.count, decimal.point) = (1, 1);
        }
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        match usize::try_from(self.point) {
            Ok(whole) if whole > 0 => {
                let split = whole.min(self.count);
                out.extend_from_slice(&self.digits()[..split]);
                out.resize(out.len() + whole - split, b'0');
                if self.count > split {
                    out.push(b'.');
                    out.extend_from_slice(&self.digits()[split..]);
                }
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
                out.extend_from_slice(self.digits());
            }
        }
    }

    fn push_with_exponent(&self, out: &mut Vec<u8>, exponent: i32) {
        let (first, more) = self.digits().split_at(1);
        out.extend_from_slice(first);
        if !more.is_empty() {
            out.push(b'.');
            out.extend_from_slice(more);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        push_integer(out, exponent.unsigned_abs());
    }
}

/// Reads `16`, `+16` or `-324`; nothing is zero.
fn parse_exponent(text: &[u8]) -> i32 {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    let magnitude = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn canonical(value: f64) -> String {
        let mut out = Vec::new();
        push_canonical(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_those_of_go() {
        // Each line is what `strconv.FormatFloat(value, 'g', -1, 64)` gives.
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (10.0, "10"),
            (0.1, "0.1"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000123, "0.000123"),
            (0.0000123, "1.23e-05"),
            (123.456, "123.456"),
            (100.25, "100.25"),
            (100_000.0, "100000"),
            (123_456.0, "123456"),
            (999_999.5, "999999.5"),
            (1_000_000.0, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn canonical_numbers_never_look_like_integers() {
        for (value, expected) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (100_000.0, "100000.0"),
            (0.005, "0.005"),
            (1e-5, "1e-05"),
            (1e6, "1e+06"),
            (4.294967295, "4.294967295"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(canonical(value), expected);
        }
    }

    #[test]
    fn integers_are_never_rounded() {
        let mut out = Vec::new();
        push_number(&mut out, Number::Unsigned(u64::MAX));
        out.push(b' ');
        push_number(&mut out, Number::Signed(i64::MIN));
        out.push(b' ');
        push_integer(&mut out, u128::MAX);
        assert_eq!(
            out,
            b"18446744073709551615 -9223372036854775808 340282366920938463463374607431768211455"
        );
    }

    proptest! {
        #[test]
        fn a_float_reads_back_as_itself(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let text = float(value);
            if value.is_nan() {
                prop_assert_eq!(text, "NaN");
            } else {
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            }
        }

        #[test]
        fn the_short_way_gives_what_the_long_way_gives(value in prop_oneof![-1e6f64..1e6, -1.0..1.0]) {
            let text = value.abs().to_string();
            let decimal = Decimal::parse(text.as_bytes());
            let mut long = if value < 0.0 { b"-".to_vec() } else { Vec::new() };
            if value.abs() >= 1e-4 {
                decimal.push_plain(&mut long);
                prop_assert_eq!(float(value).into_bytes(), long);
            }
        }

        #[test]
        fn short_decimals_stay_short(digits in 1u32..1_000_000, places in 0i32..9) {
            let text = format!("{digits}e-{places}");
            let value: f64 = text.parse().unwrap();
            prop_assert!(float(value).len() <= 13, "{} became {}", text, float(value));
            prop_assert_eq!(float(value).parse::<f64>().unwrap(), value);
        }
    }
}
