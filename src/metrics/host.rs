//! The host, through sysinfo: CPU, memory, load, disks and network.

use crate::model::Bytes;
use crate::model::usage::HostUsage;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, Networks, System};

/// Samples the host; remembers the last counters, as rates are differences.
#[derive(Default)]
pub(super) struct Host {
    sources: Option<Sources>,
    /// `None` before the first sample.
    last: Option<Counters>,
}

/// sysinfo's doors.
struct Sources {
    system: System,
    disks: Disks,
    networks: Networks,
}

/// Bytes in and out since boot, by device. Apart, since a new device brings its whole past along.
#[derive(Debug, Default)]
struct Counters {
    disks: HashMap<OsString, [u64; 2]>,
    networks: HashMap<OsString, [u64; 2]>,
}

impl Host {
    /// All zeros where sysinfo has no way to this system.
    pub(super) fn sample(&mut self) -> HostUsage {
        if self.sources.is_none() {
            self.sources = Sources::open();
        }
        let Some(sources) = &mut self.sources else { return HostUsage::default() };
        let counters = sources.refresh();
        let system = &sources.system;
        let mut usage = HostUsage {
            cores: u32::try_from(system.cpus().len()).unwrap_or(u32::MAX),
            memory_used: Bytes(system.total_memory().saturating_sub(system.available_memory())),
            memory_total: Bytes(system.total_memory()),
            load1: System::load_average().map_or(0.0, |load| load.one as f32),
            ..HostUsage::default()
        };
        if let Some(last) = &self.last {
            usage.cpu = system.global_cpu_usage();
            [usage.disk_read, usage.disk_written] = grown(&last.disks, &counters.disks);
            [usage.net_received, usage.net_sent] = grown(&last.networks, &counters.networks);
        }
        self.last = Some(counters);
        usage
    }
}

impl Sources {
    fn open() -> Option<Sources> {
        Some(Sources {
            system: System::new().ok()?,
            disks: Disks::new().ok()?,
            networks: Networks::new().ok()?,
        })
    }

    fn refresh(&mut self) -> Counters {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_io_usage());
        self.networks.refresh(true);
        // sysinfo lists mounts: one device may be there many times, and counts once.
        let disks = self.disks.iter().map(|disk| {
            let usage = disk.usage();
            let name = disk.name().to_owned();
            (name, [usage.total_read_bytes, usage.total_written_bytes])
        });
        let networks =
            self.networks.iter().filter(|(name, _)| *name != "lo").map(|(name, network)| {
                (name.clone(), [network.total_received(), network.total_transmitted()])
            });
        Counters { disks: disks.collect(), networks: networks.collect() }
    }
}

/// By how much the counters of the devices that were there before have grown.
fn grown(before: &HashMap<OsString, [u64; 2]>, now: &HashMap<OsString, [u64; 2]>) -> [Bytes; 2] {
    let mut sum = [0u64; 2];
    for (name, counters) in now {
        let Some(past) = before.get(name) else { continue };
        for ((sum, now), past) in sum.iter_mut().zip(counters).zip(past) {
            *sum += now.saturating_sub(*past);
        }
    }
    sum.map(Bytes)
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_has_no_rates_and_every_one_has_memory_and_cores() {
        let mut host = Host::default();
        let first = host.sample();
        assert_eq!((first.cpu, first.disk_read, first.net_sent), (0.0, Bytes(0), Bytes(0)));
        let second = host.sample();
        assert!(second.cores > 0 && second.memory_total > second.memory_used, "{second:?}");
        assert!(second.memory_used > Bytes(0) && (0.0..=100.0).contains(&second.cpu), "{second:?}");
    }

    #[test]
    fn a_device_that_comes_or_goes_is_no_traffic() {
        let at = |list: &[(&str, u64)]| list.iter().map(|(n, c)| ((*n).into(), [*c, 2 * c])).collect();
        let before = at(&[("sda", 100), ("gone", 9_000), ("reset", 50)]);
        let now = at(&[("sda", 130), ("new", 7_000), ("reset", 0)]);
        assert_eq!(grown(&before, &now), [Bytes(30), Bytes(60)]);
    }
}
