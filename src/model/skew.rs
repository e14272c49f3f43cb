//! Versions that meet: in debug builds a copy of this program can pretend to be another version, so that tests see what a
//! later one adds be skipped, and what an older one leaves out be done without. In a release build nothing of it is left.
//!
//! Which version it is stands in the program itself ([`MARK`]): whatever is started by it, or becomes it, is of that version,
//! and nothing is inherited. A later one adds a field to every structure that it writes, words to the ends of messages, and
//! messages that nobody knows; an older one leaves out what was optional from the beginning, and does not know the last
//! kinds of the keeper's link.

#[cfg(not(debug_assertions))]
use serde::Serialize;
#[cfg(not(debug_assertions))]
use std::io;

/// The version of this program.
pub fn version() -> &'static str {
    match skew() {
        Skew::None => env!("CARGO_PKG_VERSION"),
        Skew::Newer => "99.0.0",
        Skew::Older => "0.0.1",
    }
}

/// Which version this pretends to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// What it is.
    None,
    /// A later one.
    Newer,
    /// An older one.
    Older,
}

/// Always [`Skew::None`] in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn skew() -> Skew {
    Skew::None
}

/// As `serde_json::to_vec`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(value)
}

/// As `serde_json::to_vec_pretty`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn to_vec_pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value)
}

/// As `serde_json::to_writer`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn to_writer<T: Serialize + ?Sized>(to: impl io::Write, value: &T) -> serde_json::Result<()> {
    serde_json::to_writer(to, value)
}

#[cfg(debug_assertions)]
pub use pretended::{MARK, skew, to_vec, to_vec_pretty, to_writer};

#[cfg(debug_assertions)]
mod pretended {
    use super::Skew;
    use serde::ser::{
        Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant, Serializer,
    };
    use std::fmt::Display;
    use std::hint::black_box;
    use std::io;

    /// A test writes `newer` or `older` over the dots in a copy of the program.
    #[used]
    pub static MARK: [u8; 32] = *b"pmon pretends to be version:....";

    /// Which version this pretends to be.
    pub fn skew() -> Skew {
        // Not what the compiler knows, but what the file says.
        match black_box(&MARK).last() {
            Some(b'n') => Skew::Newer,
            Some(b'o') => Skew::Older,
            _ => Skew::None,
        }
    }

    /// As `serde_json::to_vec`, as this version would.
    pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        to_writer(&mut bytes, value)?;
        Ok(bytes)
    }

    /// As `serde_json::to_vec_pretty`, as this version would.
    pub fn to_vec_pretty<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let format = serde_json::ser::PrettyFormatter::new();
        value.serialize(Skewed(&mut serde_json::Serializer::with_formatter(&mut bytes, format)))?;
        Ok(bytes)
    }

    /// As `serde_json::to_writer`, as this version would.
    pub fn to_writer<T: Serialize + ?Sized>(to: impl io::Write, value: &T) -> serde_json::Result<()> {
        match skew() {
            Skew::None => serde_json::to_writer(to, value),
            Skew::Newer | Skew::Older => value.serialize(Skewed(&mut serde_json::Serializer::new(to))),
        }
    }

    /// What an older version does not write, by structure (or enum).
    const OPTIONAL: &[(&str, &[&str])] = &[
        (
            "Record",
            &["listening", "draining", "untold", "node_version", "trouble", "retry", "ordered", "leaving"],
        ),
        ("DaemonView", &["notices", "aside"]),
        ("WorkerView", &["node_version", "trouble", "log_trouble"]),
        ("Hello", &["features", "pid"]),
        ("LogHeader", &["instance", "pid", "history", "path", "spot", "at_spot"]),
        ("LogFile", &["shared", "dates", "rotated_dates"]),
        ("LogsRequest", &["files", "places"]),
        ("Push", &["unplaced"]),
        ("Touched", &["last_words", "abandoned"]),
        ("App", &["reload"]),
        ("Readiness", &["notify", "health"]),
        ("Logs", &["overflow", "rotate"]),
        ("Rolling", &["width", "force"]),
        ("Order", &["rolling"]),
    ];

    fn is_left_out(of: &str, field: &str) -> bool {
        skew() == Skew::Older && OPTIONAL.iter().any(|(name, fields)| *name == of && fields.contains(&field))
    }

    /// Of other crates, which take no more fields than they know.
    const FOREIGN: [&str; 2] = ["Duration", "SystemTime"];

    fn adds_to(name: &str) -> bool {
        skew() == Skew::Newer && !FOREIGN.contains(&name)
    }

    const NOVELTY: (&str, (&str, u8)) = ("of_a_later_version", ("moon", 3));

    /// A serializer, or a part of one, through which everything goes as this version writes it.
    struct Skewed<S>(S);

    /// Fields of a structure of this name.
    struct Fields<S>(S, &'static str);

    struct Through<'a, T: ?Sized>(&'a T);

    impl<T: Serialize + ?Sized> Serialize for Through<'_, T> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(Skewed(to))
        }
    }

    macro_rules! as_it_is {
        ($($method:ident($kind:ty))*) => {
            $(fn $method(self, value: $kind) -> Result<S::Ok, S::Error> {
                self.0.$method(value)
            })*
        };
    }

    impl<S: Serializer> Serializer for Skewed<S> {
        type Ok = S::Ok;
        type Error = S::Error;
        type SerializeSeq = Skewed<S::SerializeSeq>;
        type SerializeTuple = Skewed<S::SerializeTuple>;
        type SerializeTupleStruct = Skewed<S::SerializeTupleStruct>;
        type SerializeTupleVariant = Skewed<S::SerializeTupleVariant>;
        type SerializeMap = Skewed<S::SerializeMap>;
        type SerializeStruct = Fields<S::SerializeStruct>;
        type SerializeStructVariant = Fields<S::SerializeStructVariant>;

        as_it_is! {
            serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
            serialize_i128(i128) serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
            serialize_u128(u128) serialize_f32(f32) serialize_f64(f64) serialize_char(char)
            serialize_str(&str) serialize_bytes(&[u8]) serialize_unit_struct(&'static str)
        }

        fn is_human_readable(&self) -> bool {
            self.0.is_human_readable()
        }

        fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
            self.0.collect_str(value)
        }

        fn serialize_none(self) -> Result<S::Ok, S::Error> {
            self.0.serialize_none()
        }

        fn serialize_unit(self) -> Result<S::Ok, S::Error> {
            self.0.serialize_unit()
        }

        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
            self.0.serialize_some(&Through(value))
        }

        fn serialize_unit_variant(self, n: &'static str, i: u32, v: &'static str) -> Result<S::Ok, S::Error> {
            self.0.serialize_unit_variant(n, i, v)
        }

        fn serialize_newtype_struct<T>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error>
        where
            T: Serialize + ?Sized,
        {
            self.0.serialize_newtype_struct(name, &Through(value))
        }

        fn serialize_newtype_variant<T>(
            self,
            name: &'static str,
            index: u32,
            variant: &'static str,
            value: &T,
        ) -> Result<S::Ok, S::Error>
        where
            T: Serialize + ?Sized,
        {
            self.0.serialize_newtype_variant(name, index, variant, &Through(value))
        }

        fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
            self.0.serialize_seq(len).map(Skewed)
        }

        fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
            self.0.serialize_tuple(len).map(Skewed)
        }

        fn serialize_tuple_struct(
            self,
            name: &'static str,
            len: usize,
        ) -> Result<Self::SerializeTupleStruct, S::Error> {
            self.0.serialize_tuple_struct(name, len).map(Skewed)
        }

        fn serialize_tuple_variant(
            self,
            name: &'static str,
            index: u32,
            variant: &'static str,
            len: usize,
        ) -> Result<Self::SerializeTupleVariant, S::Error> {
            self.0.serialize_tuple_variant(name, index, variant, len).map(Skewed)
        }

        fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
            self.0.serialize_map(len).map(Skewed)
        }

        fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
            let more = usize::from(adds_to(name));
            self.0.serialize_struct(name, len + more).map(|to| Fields(to, name))
        }

        fn serialize_struct_variant(
            self,
            name: &'static str,
            index: u32,
            variant: &'static str,
            len: usize,
        ) -> Result<Self::SerializeStructVariant, S::Error> {
            let more = usize::from(adds_to(name));
            self.0.serialize_struct_variant(name, index, variant, len + more).map(|to| Fields(to, name))
        }
    }

    macro_rules! items {
        ($($part:ident $method:ident)*) => {
            $(impl<S: $part> $part for Skewed<S> {
                type Ok = S::Ok;
                type Error = S::Error;
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                    self.0.$method(&Through(value))
                }
                fn end(self) -> Result<S::Ok, S::Error> {
                    self.0.end()
                }
            })*
        };
    }

    items! {
        SerializeSeq serialize_element
        SerializeTuple serialize_element
        SerializeTupleStruct serialize_field
        SerializeTupleVariant serialize_field
    }

    impl<S: SerializeMap> SerializeMap for Skewed<S> {
        type Ok = S::Ok;
        type Error = S::Error;
        fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
            self.0.serialize_key(key)
        }
        fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
            self.0.serialize_value(&Through(value))
        }
        fn end(self) -> Result<S::Ok, S::Error> {
            self.0.end()
        }
    }

    macro_rules! fields {
        ($($part:ident)*) => {
            $(impl<S: $part> $part for Fields<S> {
                type Ok = S::Ok;
                type Error = S::Error;
                fn serialize_field<T>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error>
                where
                    T: Serialize + ?Sized,
                {
                    match is_left_out(self.1, key) {
                        true => self.0.skip_field(key),
                        false => self.0.serialize_field(key, &Through(value)),
                    }
                }
                fn end(mut self) -> Result<S::Ok, S::Error> {
                    if adds_to(self.1) {
                        self.0.serialize_field(NOVELTY.0, &NOVELTY.1)?;
                    }
                    self.0.end()
                }
            })*
        };
    }

    fields! { SerializeStruct SerializeStructVariant }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_what_it_is() {
        assert_eq!((skew(), version()), (Skew::None, env!("CARGO_PKG_VERSION")));
        let value = serde_json::json!({"a": [1, {"b": null}]});
        assert_eq!(to_vec(&value).unwrap(), serde_json::to_vec(&value).unwrap());
    }
}
