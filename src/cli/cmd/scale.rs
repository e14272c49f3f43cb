//! `scale`: change the number of instances. `scale app -1` works, which PM2's parser refuses.

use super::act;
use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::model::order::{Order, ScaleTo};
use std::cmp::Ordering;

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the app
    pub name: String,
    /// How many: `4`, or how many more or fewer: `+2`, `-1`
    #[arg(value_name = "N", allow_negative_numbers = true)]
    pub to: String,
}

/// Scales.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let Some(to) = scale_to(&args.to) else {
        return Err(CliError::Said(format!("{} is not a number of instances", args.to)));
    };
    let mut client = cx.connect()?;
    let before = ask::list(&mut client, false)?.named(&args.name).count();
    let change = match to {
        ScaleTo::To(n) => (n as usize).cmp(&before),
        ScaleTo::By(n) => n.cmp(&0),
    };
    match change {
        Ordering::Greater if before > 0 => cx.note("Scaling up application")?,
        Ordering::Less if before > 0 => cx.note("Scaling down application")?,
        Ordering::Greater | Ordering::Less | Ordering::Equal => {}
    }
    let touched = ask::order(&mut client, Order::Scale { name: args.name, to })?;
    act::report(cx, &touched)?;
    cx.show(&mut client)
}

fn scale_to(text: &str) -> Option<ScaleTo> {
    if text.starts_with(['+', '-']) {
        text.parse().ok().map(ScaleTo::By)
    } else {
        text.parse().ok().map(ScaleTo::To)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_makes_it_relative() {
        assert_eq!(scale_to("4"), Some(ScaleTo::To(4)));
        assert_eq!(scale_to("+2"), Some(ScaleTo::By(2)));
        assert_eq!(scale_to("-1"), Some(ScaleTo::By(-1)));
        assert_eq!(scale_to("many"), None);
        assert_eq!(scale_to("+"), None);
    }
}
