//! Pages compressed for the wire.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A page shrinks to a seventh at the lowest level already; the higher ones take several times as long.
const LEVEL: u32 = 1;

/// `page` as gzip.
pub(crate) fn pack(page: &[u8]) -> Vec<u8> {
    let room = Vec::with_capacity(page.len() / 8);
    let mut encoder = GzEncoder::new(room, Compression::new(LEVEL));
    let written = encoder.write_all(page).and_then(|()| encoder.finish());
    written.expect("memory takes all that is written")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let page = "jobs_total{kind=\"x\"} 7\n".repeat(1000);
        for page in ["", page.as_str()] {
            let packed = pack(page.as_bytes());
            let mut unpacked = String::new();
            let mut decoder = GzDecoder::new(packed.as_slice());
            decoder.read_to_string(&mut unpacked).unwrap();
            assert_eq!(unpacked, page);
        }
        assert!(pack(page.as_bytes()).len() < page.len() / 10);
    }
}
