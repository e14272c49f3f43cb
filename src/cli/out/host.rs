//! The line about the host below each table.

use super::colour::{self, Colour, by_level};
use super::number::tenth;
use crate::fmt;
use crate::model::Bytes;
use crate::model::usage::HostUsage;

/// `host metrics | cpu: 0% | ram usage: 4.1% | disk: ⇓ 0mb/s ⇑ 0mb/s`
pub fn line(host: &HostUsage, colour: Colour) -> String {
    let mut parts = vec![colour.paint(colour::BOLD, "host metrics")];
    let percent = |value: f32, care, bad| colour.paint(by_level(value, care, bad), fmt::percent(value));
    parts.push(format!("cpu: {}", percent(host.cpu, 40.0, 70.0)));
    if host.memory_total > Bytes(0) {
        let used = 100.0 * host.memory_used.get() as f32 / host.memory_total.get() as f32;
        parts.push(format!("ram usage: {}", percent(used, 70.0, 90.0)));
    }
    if host.net_received > Bytes(0) || host.net_sent > Bytes(0) {
        parts.push(format!("net: ⇓ {} ⇑ {}", rate(host.net_received, colour), rate(host.net_sent, colour)));
    }
    parts.push(format!("disk: ⇓ {} ⇑ {}", rate(host.disk_read, colour), rate(host.disk_written, colour)));
    parts.join(" | ")
}

fn rate(per_second: Bytes, colour: Colour) -> String {
    let megabytes = per_second.get() as f32 / (1 << 20) as f32;
    colour.paint(by_level(megabytes, 10.0, 20.0), format!("{}mb/s", tenth(megabytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_pm2s() {
        let host = HostUsage {
            memory_used: Bytes(41),
            memory_total: Bytes(1000),
            disk_written: Bytes(3 << 19),
            ..HostUsage::default()
        };
        assert_eq!(
            line(&host, Colour(false)),
            "host metrics | cpu: 0% | ram usage: 4.1% | disk: ⇓ 0mb/s ⇑ 1.5mb/s"
        );
        let busy = HostUsage { cpu: 71.26, net_received: Bytes(1 << 20), ..HostUsage::default() };
        assert_eq!(
            line(&busy, Colour(false)),
            "host metrics | cpu: 71.3% | net: ⇓ 1mb/s ⇑ 0mb/s | disk: ⇓ 0mb/s ⇑ 0mb/s"
        );
    }
}
