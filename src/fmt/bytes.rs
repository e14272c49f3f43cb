//! Sizes, in powers of 1024.

use crate::model::Bytes;

/// PM2's form, one decimal from a kilobyte on: `0b`, `512b`, `1.0kb`, `52.4mb`.
pub fn bytes(size: Bytes) -> String {
    scaled(size, ["b", "kb", "mb", "gb", "tb"])
}

/// The monitor's form: `512B`, `52.4M`, `1.5G`.
pub fn short_bytes(size: Bytes) -> String {
    scaled(size, ["B", "K", "M", "G", "T"])
}

fn scaled(size: Bytes, units: [&str; 5]) -> String {
    let [plain, ..] = units;
    if size.get() < 1024 {
        return format!("{}{plain}", size.get());
    }
    let mut value = size.get() as f64;
    let mut unit = plain;
    for next in units.into_iter().skip(1) {
        // 1023.95 would print as `1024.0`: it belongs to the next unit already.
        if unit != plain && value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_as_in_pm2s_table() {
        let shown = |n| bytes(Bytes(n));
        assert_eq!(shown(0), "0b");
        assert_eq!(shown(1023), "1023b");
        assert_eq!(shown(1024), "1.0kb");
        assert_eq!(shown(54_165_504), "51.7mb");
        assert_eq!(shown(1024 * 1024 - 1), "1.0mb");
        assert_eq!(shown(3 << 30), "3.0gb");
        assert_eq!(shown(5 << 50), "5120.0tb");
        assert_eq!(short_bytes(Bytes(1536 << 20)), "1.5G");
        assert_eq!(short_bytes(Bytes(7)), "7B");
    }

    proptest! {
        #[test]
        fn a_size_below_a_petabyte_takes_at_most_seven_columns(n in 0u64..(1 << 50)) {
            prop_assert!(short_bytes(Bytes(n)).len() <= 7);
        }
    }
}
