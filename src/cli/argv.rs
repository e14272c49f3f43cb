//! Words before clap sees them: the three shapes that PM2 takes and clap cannot say.
//!
//! - The values of `--stop-exit-codes` are the numbers behind it (`--stop-exit-codes 3 4 app.js`).
//! - `-i` of `logs` is grep's, though elsewhere it is `--instances`.
//! - The optional value of `--timestamp` must look like a format; otherwise it is the target.
//!
//! What stands behind `--` is the app's and never looked at.

use super::out::date;
use std::ffi::OsString;

/// The same words in shapes that clap can say.
pub fn arrange(argv: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut rest = argv.into_iter().peekable();
    let mut verb: Option<OsString> = None;
    out.extend(rest.next());
    while let Some(word) = rest.next() {
        if word == "--" {
            out.push(word);
            break;
        }
        if verb.is_none() && !word.to_string_lossy().starts_with('-') {
            verb = Some(word.clone());
        }
        let word = if is_grep_switch(&word) && verb.as_ref().is_some_and(|v| v == "logs" || v == "log") {
            "--ignore-case".into()
        } else {
            word
        };
        let mut values: Vec<String> = Vec::new();
        if word == "--stop-exit-codes" {
            while let Some(value) = rest.next_if(is_code_list) {
                values.push(value.to_string_lossy().into_owned());
            }
        } else if word == "--timestamp" {
            let format = |w: &OsString| date::looks_like_format(&w.to_string_lossy());
            values.extend(rest.next_if(format).map(|w| w.to_string_lossy().into_owned()));
        }
        if values.is_empty() {
            out.push(word);
        } else {
            out.push(format!("{}={}", word.to_string_lossy(), values.join(",")).into());
        }
    }
    out.extend(rest);
    out
}

fn is_grep_switch(word: &OsString) -> bool {
    word == "-i"
}

fn is_code_list(word: &OsString) -> bool {
    let text = word.to_string_lossy();
    !text.is_empty() && text.split(',').all(|code| code.parse::<i32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Verb};
    use clap::Parser;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let argv = std::iter::once("pmon").chain(line.split_whitespace()).map(OsString::from);
        Cli::try_parse_from(arrange(argv))
    }

    fn start(line: &str) -> (Cli, Vec<String>, Vec<String>) {
        let mut cli = parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        match cli.verb.take() {
            Some(Verb::Start(args)) => (cli, args.targets, args.args),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn all_behind_two_dashes_is_the_apps() {
        let (cli, targets, args) = start("start a.js b.js --name x -- --name y -i 3 --stop-exit-codes 1 2");
        assert_eq!(targets, ["a.js", "b.js"]);
        assert_eq!(args, ["--name", "y", "-i", "3", "--stop-exit-codes", "1", "2"]);
        assert_eq!(cli.app.name.as_deref(), Some("x"));
        assert_eq!(cli.app.instances, None);
    }

    #[test]
    fn options_stand_anywhere() {
        for line in [
            "-n web -i max start a.js --no-color -s",
            "start -n web -s a.js -i max --no-color",
            "-s --no-color start a.js --name web --instances max",
            "start --name=web -imax a.js -s --no-color",
        ] {
            let (cli, targets, _) = start(line);
            assert_eq!(targets, ["a.js"], "{line}");
            assert_eq!(cli.app.name.as_deref(), Some("web"), "{line}");
            assert_eq!(cli.app.instances.as_deref(), Some("max"), "{line}");
            assert!(cli.flags.silent && cli.flags.no_color, "{line}");
        }
    }

    #[test]
    fn values_may_begin_with_a_dash_where_they_must() {
        let (cli, targets, _) = start("start a.js -i -1 --node-args --harmony");
        assert_eq!(cli.app.instances.as_deref(), Some("-1"));
        assert_eq!(cli.app.interpreter_args.as_deref(), Some("--harmony"));
        assert_eq!(targets, ["a.js"]);
    }

    #[test]
    fn words_that_look_odd_are_targets() {
        let (_, targets, _) = start("start - /^w.*/ 0 all ./a b.config.js");
        assert_eq!(targets, ["-", "/^w.*/", "0", "all", "./a", "b.config.js"]);
    }

    #[test]
    fn an_optional_value_is_taken_when_it_is_there() {
        let (cli, targets, _) = start("start a.js --watch --log --name web");
        assert_eq!((cli.app.watch, cli.app.log), (Some(Vec::new()), Some(None)));
        assert_eq!(targets, ["a.js"]);
        let (cli, ..) =
            start("start a.js --watch src --watch lib --log x.log --filter-env A --only a,b --only c");
        assert_eq!(cli.app.watch, Some(vec!["src".to_owned(), "lib".to_owned()]));
        assert_eq!(cli.app.log, Some(Some("x.log".to_owned())));
        assert_eq!(cli.app.filter_env, Some(vec!["A".to_owned()]));
        assert_eq!(cli.app.only, ["a,b", "c"]);
    }

    #[test]
    fn the_last_of_an_option_given_twice_counts() {
        assert_eq!(start("start a.js --name a --name b").0.app.name.as_deref(), Some("b"));
    }

    #[test]
    fn stop_exit_codes_takes_all_numbers_and_nothing_else() {
        for line in [
            "start a.js --stop-exit-codes 3 4",
            "start --stop-exit-codes 3,4 a.js",
            "start --stop-exit-codes=3,4 a.js",
        ] {
            let (cli, targets, _) = start(line);
            assert_eq!(cli.app.stop_exit_codes, [3, 4], "{line}");
            assert_eq!(targets, ["a.js"], "{line}");
        }
        assert!(parse("start a.js --stop-exit-codes x").is_err());
    }

    #[test]
    fn scale_takes_a_number_below_zero() {
        for (line, expected) in [("scale app -1", "-1"), ("scale app +2", "+2"), ("scale app 3 -s", "3")] {
            match parse(line).unwrap().verb {
                Some(Verb::Scale(args)) => {
                    assert_eq!((args.name.as_str(), args.to.as_str()), ("app", expected))
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_timestamp_does_not_eat_the_target() {
        for (line, target, format) in [
            ("logs --timestamp 0", Some("0"), Some(None)),
            ("logs --timestamp HH:mm:ss web", Some("web"), Some(Some("HH:mm:ss"))),
            ("log web --lines 3 --timestamp", Some("web"), Some(None)),
            ("logs", None, None),
        ] {
            match parse(line).unwrap().verb {
                Some(Verb::Logs(args)) => {
                    assert_eq!(args.target.as_deref(), target, "{line}");
                    assert_eq!(args.timestamp.as_ref().map(Option::as_deref), format, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_name_of_a_verb_is_understood() {
        let same = |a: &str, names: &str| {
            for name in names.split_whitespace() {
                let verb = |line: &str| std::mem::discriminant(&parse(line).unwrap().verb.unwrap());
                assert!(verb(&format!("{a} x")) == verb(&format!("{name} x")), "{name}");
            }
        };
        same("describe", "show desc info");
        same("delete", "del");
        same("logs", "log");
        same("startOrReload", "startOrGracefulReload");
        for name in ["list", "ls", "l", "ps", "status"] {
            assert!(matches!(parse(name).unwrap().verb, Some(Verb::List(_))), "{name}");
        }
        for name in ["monit", "dashboard", "dash"] {
            assert!(matches!(parse(name).unwrap().verb, Some(Verb::Monit(_))), "{name}");
        }
    }

    #[test]
    fn what_pm2_refuses_is_refused() {
        for line in
            ["frobnicate", "list --frobnicate", "describe", "save x", "kill x", "prettylist x", "scale a"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("").unwrap().verb.is_none());
        assert!(parse("-v").unwrap().flags.version);
    }
}
