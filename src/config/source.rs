//! The three ways in: a file, a script, JSON on stdin.

use super::caller::Caller;
use super::error::{ConfigError, Place};
use super::file::{self, Document, RawApp};
use super::options::Options;
use super::origin::Origin;
use super::resolve::{self, Context};
use super::schema::Attributes;
use super::{env, json};
use crate::model::App;
use serde_json::{Map, Value};
use std::path::Path;

/// What came of it: apps in the order they were written, and lines that people should see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// May be empty: `--only` names apps that are not there.
    pub apps: Vec<App>,
    /// What was ignored, one line each; exit code 0 all the same.
    pub warnings: Vec<String>,
}

/// A configuration file; flags go over what it says.
pub fn from_file(path: &Path, options: &Options, caller: &Caller) -> Result<Resolved, ConfigError> {
    let path = caller.cwd.join(path);
    let (document, text) = file::read(&path, caller)?;
    let origin = Origin { file: Some(path.clone()), text, app: String::new() };
    from_document(document, &origin, path.parent(), options, caller)
}

/// JSON on stdin: the same shapes as in a file.
pub fn from_stdin_json(text: &str, options: &Options, caller: &Caller) -> Result<Resolved, ConfigError> {
    let value = json::parse(text, Place::default())?;
    let document = file::take_apart(value, &Place::default())?;
    from_document(document, &Origin::default(), None, options, caller)
}

/// A script, a program in PATH or a shell command, with flags only.
pub fn from_script(word: &str, options: &Options, caller: &Caller) -> Result<Resolved, ConfigError> {
    let raw = Map::from_iter([("script".to_owned(), Value::from(word))]);
    let document = Document { apps: vec![raw], ..Document::default() };
    // `--env` needs a file to choose from.
    let options = Options { env_name: None, only: Vec::new(), ..options.clone() };
    from_document(document, &Origin::default(), None, &options, caller)
}

/// Names of the apps in a file. Nothing else of them is looked at, so that what cannot be started any more, as its
/// script is gone, can still be stopped.
pub fn names_in_file(path: &Path, options: &Options, caller: &Caller) -> Result<Vec<String>, ConfigError> {
    let path = caller.cwd.join(path);
    let (document, text) = file::read(&path, caller)?;
    names(document, &Origin { file: Some(path), text, app: String::new() }, options)
}

/// Names of the apps in JSON on stdin.
pub fn names_in_stdin_json(text: &str, options: &Options, _: &Caller) -> Result<Vec<String>, ConfigError> {
    let value = json::parse(text, Place::default())?;
    names(file::take_apart(value, &Place::default())?, &Origin::default(), options)
}

fn names(document: Document, origin: &Origin, options: &Options) -> Result<Vec<String>, ConfigError> {
    let env_name = options.env_name.as_deref();
    let written = written(document.apps, origin, options)?;
    Ok(written.iter().filter_map(|one| resolve::name(&one.attributes, env_name)).collect())
}

/// An app as it is written, its keys checked.
struct Written {
    attributes: Attributes,
    origin: Origin,
    warnings: Vec<String>,
}

/// The apps that are wanted, flags over what the file says.
fn written(apps: Vec<RawApp>, origin: &Origin, options: &Options) -> Result<Vec<Written>, ConfigError> {
    let alone = apps.len() == 1;
    let mut wanted = Vec::new();
    for (mut raw, number) in apps.into_iter().zip(1..) {
        raw.values_mut().for_each(file::integral);
        if let Some(name) = options.name.as_ref().filter(|_| alone) {
            raw.insert("name".to_owned(), Value::from(name.as_str()));
        }
        let mut warnings = Vec::new();
        let origin = Origin { app: label(&raw, number), ..origin.clone() };
        let mut attributes = Attributes::read(&raw, &origin, &mut warnings)?;
        options.overlay(&mut attributes)?;
        if options.wants(&resolve::name(&attributes, None).unwrap_or_default()) {
            wanted.push(Written { attributes, origin, warnings });
        }
    }
    Ok(wanted)
}

fn from_document(
    document: Document,
    origin: &Origin,
    config_dir: Option<&Path>,
    options: &Options,
    caller: &Caller,
) -> Result<Resolved, ConfigError> {
    let mut resolved = Resolved::default();
    if document.has_static {
        resolved.warnings.push("`static` is not supported yet and is ignored".to_owned());
    }
    if options.name.is_some() && document.apps.len() != 1 {
        resolved.warnings.push("--name is ignored: the file has more than one app".to_owned());
    }
    let env_name = options.env_name.as_deref();
    let context = Context { caller, env_name, config_dir, deploy: &document.deploy };
    for Written { attributes, origin, mut warnings } in written(document.apps, origin, options)? {
        if let Some(name) = env_name.filter(|name| !env::is_defined(name, &attributes, context.deploy)) {
            warnings
                .push(format!("app `{}`: Environment [{name}] is not defined in process file", origin.app));
        }
        resolved.apps.push(resolve::app(&attributes, &origin, context, &mut warnings)?);
        resolved.warnings.extend(warnings);
    }
    Ok(resolved)
}

/// What tells an app from its neighbours in a message: its name, its script, its number.
fn label(raw: &RawApp, number: usize) -> String {
    ["name", "script", "exec", "cmd", "command"]
        .iter()
        .find_map(|key| raw.get(*key)?.as_str().filter(|text| !text.is_empty()))
        .map_or_else(|| format!("#{number}"), str::to_owned)
}
