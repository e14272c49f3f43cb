//! What the user wrote → `model::App`.
//!
//! A file (or a script, or JSON on stdin) and flags become a map of attributes, the map is checked
//! against one table, and what is left is resolved against the caller: paths made absolute, the
//! interpreter found, the environment merged. All or nothing: the first error returns, so nothing
//! is started from a file that is half right. Nothing here talks to the daemon.
//!
//! ```text
//! find → file (js | json | yaml) → schema (attributes, value, sockets) ← options
//!                                    ↓
//!                                  resolve (script, interpreter, env, user, version) → App
//! ```

mod attributes;
mod caller;
mod env;
mod error;
mod file;
pub mod find;
#[doc(hidden)]
pub mod fuzz;
mod health;
mod interpreter;
mod js;
mod json;
mod options;
mod origin;
mod path;
mod resolve;
mod schema;
mod script;
mod sockets;
mod source;
mod value;
mod version;
mod yaml;

use crate::model::quantity as units;

pub use caller::Caller;
pub use error::{ConfigError, Place};
pub use find::{Target, default_file, target};
pub use options::Options;
pub use source::{Resolved, from_file, from_script, from_stdin_json, names_in_file, names_in_stdin_json};
pub use value::split_words;
