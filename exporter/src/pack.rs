//! Pages and pushes compressed for the wire.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::negotiate::Coding;

/// A page shrinks to a seventh at the lowest level already; the higher ones take several times as long.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// `page` in `coding`.
pub(crate) fn pack(page: Bytes, coding: Coding) -> Bytes {
    match coding {
        Coding::Identity => page,
        Coding::Gzip => gzip(&page).into(),
        Coding::Zstd => zstd(&page).into(),
    }
}

/// `page` as gzip.
pub(crate) fn gzip(page: &[u8]) -> Vec<u8> {
    let room = Vec::with_capacity(page.len() / 8);
    let mut encoder = GzEncoder::new(room, Compression::new(GZIP_LEVEL));
    let written = encoder.write_all(page).and_then(|()| encoder.finish());
    written.expect("memory takes all that is written")
}

fn zstd(page: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(page, ZSTD_LEVEL).expect("memory takes all that is written")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let page = Bytes::from("jobs_total{kind=\"x\"} 7\n".repeat(1000));
        for page in [Bytes::new(), page.clone()] {
            let mut unzipped = Vec::new();
            let zipped = pack(page.clone(), Coding::Gzip);
            GzDecoder::new(&*zipped).read_to_end(&mut unzipped).unwrap();
            assert_eq!(unzipped, page);
            let packed = pack(page.clone(), Coding::Zstd);
            assert_eq!(zstd::decode_all(&*packed).unwrap(), page);
            assert_eq!(pack(page.clone(), Coding::Identity), page);
        }
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert!(pack(page.clone(), coding).len() < page.len() / 10);
        }
    }
}
