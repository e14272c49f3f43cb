//! How log files are kept from growing: the settings, and the words they are written in. The words are those of
//! pm2-logrotate as far as it has them; values are text, as `pmon set` takes and `module_conf.json` keeps them.

use super::quantity;
use super::units::Bytes;
use croner::Cron;
use croner::parser::CronParser;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

/// The module name that pm2-logrotate's users know; the settings are kept under it.
pub const MODULE: &str = "pm2-logrotate";

/// Settings as written: word → value.
pub type Words = BTreeMap<String, String>;

/// All settings that apply to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Rotate at all.
    pub enabled: bool,
    /// A file that has reached this is put aside; 0: never by size.
    pub max_size: Bytes,
    /// So many rotated files are kept of each log; `None`: all.
    pub retain: Option<u32>,
    /// gzip rotated files.
    pub compress: bool,
    /// Cron pattern: then also files that are not empty are put aside, whatever their size.
    pub interval: Option<String>,
    /// Time zone (IANA) of `interval` and of names; `None`: the system's.
    pub zone: Option<String>,
    /// dayjs format of the date in names.
    pub date_format: String,
    /// Rotated files not written for so long are removed; zero: never by age.
    pub max_age: Duration,
    /// All logs of an app together; the oldest rotated files go first. 0: no limit.
    pub max_app_size: Bytes,
    /// All logs together. 0: no limit.
    pub max_total_size: Bytes,
    /// How often the daemon's own log is looked at. Others are when they are written.
    pub worker_interval: Duration,
    /// pm2-logrotate's switch for logs of modules, of which pmon has none. Kept, no effect.
    pub rotate_module: bool,
}

impl Default for Rotation {
    /// By size alone, so that a quiet app's log stays one file; a log takes about 10 MB, and its 30 rotated files
    /// a tenth of theirs.
    fn default() -> Rotation {
        Rotation {
            enabled: true,
            max_size: Bytes(10 << 20),
            retain: Some(30),
            compress: true,
            interval: None,
            zone: None,
            date_format: "YYYY-MM-DD_HH-mm-ss".to_owned(),
            max_age: Duration::ZERO,
            max_app_size: Bytes(1 << 30),
            max_total_size: Bytes(4 << 30),
            worker_interval: Duration::from_secs(30),
            rotate_module: true,
        }
    }
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `enabled`
    Enabled,
    /// `max_size`
    MaxSize,
    /// `retain`
    Retain,
    /// `compress`
    Compress,
    /// `dateFormat`
    DateFormat,
    /// `rotateInterval`
    Interval,
    /// `TZ`
    Zone,
    /// `max_age`
    MaxAge,
    /// `max_app_size`
    MaxAppSize,
    /// `max_total_size`
    MaxTotalSize,
    /// `workerInterval`
    WorkerInterval,
    /// `rotateModule`
    RotateModule,
}

/// Each word with its spelling, and others for it without `_`, `-` and capitals.
const WORDS: [(Word, &str, &[&str]); 12] = [
    (Word::Enabled, "enabled", &["on"]),
    (Word::MaxSize, "max_size", &[]),
    (Word::Retain, "retain", &[]),
    (Word::Compress, "compress", &["gzip"]),
    (Word::DateFormat, "dateFormat", &[]),
    (Word::Interval, "rotateInterval", &["interval"]),
    (Word::Zone, "TZ", &["timezone", "zone"]),
    (Word::MaxAge, "max_age", &[]),
    (Word::MaxAppSize, "max_app_size", &[]),
    (Word::MaxTotalSize, "max_total_size", &[]),
    (Word::WorkerInterval, "workerInterval", &[]),
    (Word::RotateModule, "rotateModule", &[]),
];

/// A word or value that is not understood. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// No such setting.
    #[error("there is no setting `{word}`; there are {}", spellings().join(", "))]
    Unknown {
        /// As written.
        word: String,
    },
    /// It cannot hold this.
    #[error("`{word}` must be {expected}, not `{found}`")]
    Value {
        /// As it is spelled.
        word: &'static str,
        /// What it can hold.
        expected: &'static str,
        /// As written.
        found: String,
    },
    /// It is one for the whole home.
    #[error("`{word}` is not an app's to set: pmon set {MODULE}:{word} {found}")]
    HomeOnly {
        /// As it is spelled.
        word: &'static str,
        /// As written.
        found: String,
    },
}

/// All words as they are spelled.
pub fn spellings() -> Vec<&'static str> {
    WORDS.iter().map(|(_, spelling, _)| *spelling).collect()
}

impl Word {
    /// The word that is meant, whatever its `_`, `-` and capitals.
    pub fn find(written: &str) -> Option<Word> {
        let wanted = plain(written);
        let found =
            WORDS.iter().find(|(_, word, others)| plain(word) == wanted || others.contains(&wanted.as_str()));
        found.map(|(word, _, _)| *word)
    }

    /// As it is spelled.
    pub fn spelling(self) -> &'static str {
        WORDS.iter().find(|(word, _, _)| *word == self).map_or("", |(_, spelling, _)| spelling)
    }

    /// What it can hold.
    pub fn expected(self) -> &'static str {
        match self {
            Word::Enabled | Word::Compress | Word::RotateModule => "`true` or `false`",
            Word::MaxSize => "a size of 1K or more such as `10M`, or `0` for no limit",
            Word::MaxAppSize | Word::MaxTotalSize => "a size such as `1G`, or `0` for no limit",
            Word::Retain => "a number, or `all`",
            Word::DateFormat => "a date format without `/` and `__` such as `YYYY-MM-DD_HH-mm-ss`",
            Word::Interval => "a cron pattern such as `0 0 * * *`, or `off`",
            Word::Zone => "a time zone such as `Europe/Paris`, or `system`",
            Word::MaxAge => "a time such as `14d`, or `0` for no limit",
            Word::WorkerInterval => "a number of seconds, at least 1",
        }
    }

    fn is_home_only(self) -> bool {
        match self {
            Word::MaxTotalSize | Word::WorkerInterval | Word::RotateModule => true,
            Word::Enabled
            | Word::MaxSize
            | Word::Retain
            | Word::Compress
            | Word::DateFormat
            | Word::Interval
            | Word::Zone
            | Word::MaxAge
            | Word::MaxAppSize => false,
        }
    }
}

impl Rotation {
    /// Rotated files are kept, all of them, whatever was said.
    pub fn remove_nothing(&mut self) {
        self.retain = None;
        self.max_age = Duration::ZERO;
        (self.max_app_size, self.max_total_size) = (Bytes(0), Bytes(0));
    }

    /// Sets one word.
    pub fn set(&mut self, written: &str, value: &str) -> Result<(), WordError> {
        let word = Word::find(written).ok_or_else(|| WordError::Unknown { word: written.to_owned() })?;
        self.put(word, value.trim()).ok_or_else(|| WordError::Value {
            word: word.spelling(),
            expected: word.expected(),
            found: value.to_owned(),
        })
    }

    /// These settings with an app's words over them. What is not understood (another version's) is left out.
    #[must_use]
    pub fn with(&self, words: &Words) -> Rotation {
        let mut all = self.clone();
        for (word, value) in words {
            // Checked when they were written.
            let _unknown = all.set(word, value);
        }
        all
    }

    /// The value of a word as text that [`Rotation::set`] takes.
    pub fn value(&self, word: Word) -> String {
        match word {
            Word::Enabled => self.enabled.to_string(),
            Word::MaxSize => size(self.max_size),
            Word::Retain => self.retain.map_or_else(|| "all".to_owned(), |count| count.to_string()),
            Word::Compress => self.compress.to_string(),
            Word::DateFormat => self.date_format.clone(),
            Word::Interval => self.interval.clone().unwrap_or_else(|| "off".to_owned()),
            Word::Zone => self.zone.clone().unwrap_or_else(|| "system".to_owned()),
            Word::MaxAge => span(self.max_age),
            Word::MaxAppSize => size(self.max_app_size),
            Word::MaxTotalSize => size(self.max_total_size),
            Word::WorkerInterval => self.worker_interval.as_secs().to_string(),
            Word::RotateModule => self.rotate_module.to_string(),
        }
    }

    /// All words with their values.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        WORDS.iter().map(|(word, spelling, _)| (*spelling, self.value(*word)))
    }

    /// The zone itself; the system's where it is not known here.
    pub fn time_zone(&self) -> TimeZone {
        let named = self.zone.as_deref().and_then(|name| TimeZone::get(name).ok());
        named.unwrap_or_else(TimeZone::system)
    }

    fn put(&mut self, word: Word, value: &str) -> Option<()> {
        match word {
            Word::Enabled => self.enabled = value.parse().ok()?,
            Word::MaxSize => {
                self.max_size = limit(value).filter(|size| size.get() == 0 || size.get() >= 1024)?;
            }
            Word::Retain => {
                self.retain = if value == "all" { None } else { Some(value.parse().ok()?) };
            }
            Word::Compress => self.compress = value.parse().ok()?,
            Word::DateFormat => self.date_format = fit_for_names(value)?,
            Word::Interval if is_off(value) => self.interval = None,
            Word::Interval => self.interval = cron(value).map(|_fits| Some(value.to_owned()))?,
            Word::Zone if is_off(value) || value == "system" => self.zone = None,
            Word::Zone => self.zone = TimeZone::get(value).ok().map(|_known| Some(value.to_owned()))?,
            Word::MaxAge => self.max_age = Duration::from_millis(quantity::span_ms(value)?),
            Word::MaxAppSize => self.max_app_size = limit(value)?,
            Word::MaxTotalSize => self.max_total_size = limit(value)?,
            Word::WorkerInterval => {
                let seconds = value.parse().ok().filter(|seconds| (1..=86_400).contains(seconds))?;
                self.worker_interval = Duration::from_secs(seconds);
            }
            Word::RotateModule => self.rotate_module = value.parse().ok()?,
        }
        Some(())
    }
}

/// Words of an app, each in its spelling, all of them understood.
pub fn checked(written: &Words) -> Result<Words, WordError> {
    let mut words = Words::new();
    let mut tried = Rotation::default();
    for (written, value) in written {
        tried.set(written, value)?;
        let word = Word::find(written).ok_or_else(|| WordError::Unknown { word: written.clone() })?;
        if word.is_home_only() {
            return Err(WordError::HomeOnly { word: word.spelling(), found: value.clone() });
        }
        words.insert(word.spelling().to_owned(), value.clone());
    }
    Ok(words)
}

/// A cron pattern of five fields, or six with seconds first.
pub fn cron(pattern: &str) -> Option<Cron> {
    CronParser::new().parse(pattern).ok()
}

fn limit(value: &str) -> Option<Bytes> {
    if is_off(value) { Some(Bytes(0)) } else { quantity::memory(value).map(Bytes) }
}

fn is_off(value: &str) -> bool {
    matches!(value, "" | "off" | "none" | "false")
}

fn fit_for_names(format: &str) -> Option<String> {
    let bad = |c: char| c == '/' || c.is_control();
    // The date is found behind the last `__` of a name.
    let found_again = !format.starts_with('_') && !format.contains("__") && !format.contains(bad);
    (found_again && !format.is_empty() && format.len() <= 100).then(|| format.to_owned())
}

/// `max_size`, `maxSize`, `MAX-SIZE` → `maxsize`.
fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

fn size(bytes: Bytes) -> String {
    let exact = [(30, "G"), (20, "M"), (10, "K")].into_iter().find(|(shift, _)| {
        let unit = 1u64 << shift;
        bytes.get() >= unit && bytes.get().is_multiple_of(unit)
    });
    match exact {
        Some((shift, unit)) => format!("{}{unit}", bytes.get() >> shift),
        None => bytes.get().to_string(),
    }
}

fn span(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let exact = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    match exact {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0".to_owned(),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(word: &str, value: &str) -> Result<Rotation, WordError> {
        let mut rotation = Rotation::default();
        rotation.set(word, value).map(|()| rotation)
    }

    #[test]
    fn the_words_are_pm2_logrotates_in_any_spelling() {
        assert_eq!(set("max_size", "5M").unwrap().max_size, Bytes(5 << 20));
        assert_eq!(set("maxSize", "1048576").unwrap().max_size, Bytes(1 << 20));
        assert_eq!(set("retain", "all").unwrap().retain, None);
        assert_eq!(set("retain", "7").unwrap().retain, Some(7));
        assert!(!set("compress", "false").unwrap().compress);
        assert_eq!(set("rotateInterval", "*/30 * * * * *").unwrap().interval.unwrap(), "*/30 * * * * *");
        assert_eq!(set("rotate_interval", "off").unwrap().interval, None);
        assert_eq!(set("TZ", "America/New_York").unwrap().zone.unwrap(), "America/New_York");
        assert_eq!(set("workerInterval", "5").unwrap().worker_interval, Duration::from_secs(5));
        assert_eq!(set("max_age", "14d").unwrap().max_age, Duration::from_secs(14 * 86_400));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be() {
        let wrong = [
            ("max_size", "ten"),
            ("max_size", "-1"),
            ("max_size", "100"),
            ("retain", "some"),
            ("retain", "-3"),
            ("compress", "yes"),
            ("rotateInterval", "0 0 *"),
            ("rotateInterval", "99 0 * * *"),
            ("TZ", "Mars/Olympus"),
            ("dateFormat", "YYYY/MM"),
            ("dateFormat", ""),
            ("workerInterval", "0"),
        ];
        for (word, value) in wrong {
            let error = set(word, value).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("must be"), "{error}");
        }
        let error = set("max_sizes", "1M").unwrap_err().to_string();
        assert!(error.contains("max_sizes") && error.contains("rotateInterval"), "{error}");
    }

    #[test]
    fn an_apps_words_go_over_the_homes_and_some_are_not_its_own() {
        let home = set("retain", "3").unwrap();
        let words = |word: &str, value: &str| Words::from([(word.to_owned(), value.to_owned())]);
        let app = checked(&words("interval", "0 0 * * *")).unwrap();
        let both = home.with(&app);
        assert_eq!((both.retain, both.interval.as_deref()), (Some(3), Some("0 0 * * *")));
        assert!(matches!(checked(&words("workerInterval", "1")), Err(WordError::HomeOnly { .. })));
        assert_eq!(home.with(&words("of_a_later_version", "1")), home);
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_set(size in 1024u64..u64::MAX / 2, ms in 0u64..1 << 40, retain in any::<Option<u32>>()) {
            let mut rotation = Rotation { max_size: Bytes(size), retain, ..Rotation::default() };
            rotation.max_age = Duration::from_millis(ms);
            let mut again = Rotation::default();
            for (word, value) in rotation.words() {
                again.set(word, &value).unwrap();
            }
            prop_assert_eq!(again, rotation);
        }
    }
}
