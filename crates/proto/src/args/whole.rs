//! All arguments of an event as one value: a tuple for several, anything else for one.
//!
//! A trait for these shapes would overlap with `Serialize`. So the outermost serializer notes whether the value was a
//! tuple. Fixed-size arrays are tuples to `serde`.

use std::fmt;

use bytes::Bytes;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess,
    Visitor,
};

use super::{Args, decode, push_text};
use crate::error::ArgError;
use crate::socket::Event;

impl Args {
    /// All arguments as a `T`, as [`ToArgs`](super::ToArgs) writes it: a tuple is several arguments, `()` none,
    /// everything else the first. Arguments behind those are ignored, and one that is missing reads as
    /// `null`, as in a handler.
    ///
    /// # Errors
    ///
    /// Where they do not fit.
    ///
    /// ```
    /// # use roomful_proto::Args;
    /// let args = Args::new(&("a", 1))?;
    /// assert_eq!(args.read::<(String, i32)>()?, ("a".to_owned(), 1));
    /// assert_eq!(args.read::<String>()?, "a");
    /// args.read::<()>()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ArgError> {
        match shape_of::<T>() {
            Shape::One => self.get(0),
            Shape::None => decode::value(0, Some(b"null"), &[]),
            Shape::Several(count) => decode::value(0, Some(&self.list(count)), self.attachments()),
            Shape::Unknown => self.get(0),
        }
    }

    /// Several arguments as a tuple; `None` where there are not several, or a `T` is none.
    pub(super) fn read_several<T: DeserializeOwned>(&self) -> Option<Result<T, ArgError>> {
        self.iter().nth(1)?;
        matches!(shape_of::<T>(), Shape::Several(_)).then(|| self.read())
    }

    /// The first so many arguments as an array. One that is missing reads as `null`, and those behind are
    /// nobody's: a server that recovers puts an offset at the end of an event.
    fn list(&self, count: usize) -> Vec<u8> {
        let mut json = b"[".to_vec();
        let missing = std::iter::repeat(&b"null"[..]);
        for (i, arg) in self.iter().chain(missing).take(count).enumerate() {
            if i > 0 {
                json.push(b',');
            }
            json.extend_from_slice(arg);
        }
        json.push(b']');
        json
    }
}

impl Event {
    /// The event as a variant of an enum, of its name: a unit variant for no argument, a newtype variant for
    /// one, a tuple variant for several. Arguments behind those are ignored, and one that is missing reads
    /// as `null`.
    ///
    /// # Errors
    ///
    /// Where there is no variant of that name, or its arguments do not fit.
    pub fn read<E: DeserializeOwned>(&self) -> Result<E, ArgError> {
        let mut name = Vec::new();
        // A text can always be written.
        let _ = push_text(&mut name, self.name());
        let shape = match variant_of::<E>(self.name()) {
            // No enum, or no variant of it: what it says to all that came.
            Shape::Unknown => match self.args.iter().take(2).count() {
                0 => Shape::None,
                1 => Shape::One,
                _ => Shape::Several(self.args.iter().count()),
            },
            known => known,
        };
        let json = match shape {
            Shape::None => name,
            Shape::Several(count) => [b"{", &name[..], b":", &self.args.list(count), b"}"].concat(),
            Shape::One | Shape::Unknown => {
                let first = self.args.iter().next().unwrap_or(b"null");
                [b"{", &name[..], b":", first, b"}"].concat()
            }
        };
        decode::value(0, Some(&Bytes::from(json)), self.args.attachments())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    None,
    One,
    /// So many.
    Several(usize),
    /// It asks for nothing that tells.
    Unknown,
}

/// What a type asks for first tells what it is: there need not be a value for that.
fn shape_of<T: DeserializeOwned>() -> Shape {
    match T::deserialize(Probe) {
        Err(Asked(shape)) => shape,
        // A type that reads nothing.
        Ok(_) => Shape::None,
    }
}

/// What the variant of that name asks for, of a type that is an enum.
fn variant_of<E: DeserializeOwned>(name: &str) -> Shape {
    match E::deserialize(VariantProbe(name)) {
        Err(Asked(shape)) => shape,
        Ok(_) => Shape::Unknown,
    }
}

/// Gives no value, but tells what was asked for.
struct Probe;

/// Gives the name of a variant and no value, but tells what was asked for then.
struct VariantProbe<'a>(&'a str);

impl<'de> Deserializer<'de> for VariantProbe<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::Unknown))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Asked> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for VariantProbe<'_> {
    type Error = Asked;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Asked> {
        let name: StrDeserializer<'_, Asked> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for VariantProbe<'_> {
    type Error = Asked;

    fn unit_variant(self) -> Result<(), Asked> {
        Err(Asked(Shape::None))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Asked> {
        Err(Asked(Shape::One))
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::Several(count)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked(Shape::One))
    }
}

/// What was asked for.
#[derive(Debug)]
struct Asked(Shape);

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::One))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, count: usize, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::Several(count)))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::None))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct newtype_struct seq tuple_struct map struct enum identifier ignored_any
    }
}

impl serde::de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(Shape::Unknown)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked")
    }
}

impl std::error::Error for Asked {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Limits;
    use crate::args::FromArg;
    use crate::socket::Packet;
    use crate::socket::text::Header;

    fn event(text: &str, attachments: &[&'static [u8]]) -> Event {
        let limits = Limits::default();
        let header = Header::decode(Bytes::copy_from_slice(text.as_bytes()), &limits).unwrap();
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        match header.finish(attachments, &limits).unwrap() {
            Packet::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Named {
        x: i32,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Heard {
        Bye,
        Said(String),
        Moved(f32, f32),
        At { x: i32 },
        File(Named, Bytes),
    }

    #[test]
    fn several_arguments_are_a_tuple_and_one_is_itself() {
        let args = event(r#"2["e",[1,2],{"x":3},"s"]"#, &[]).args;
        assert_eq!(args.read::<(Vec<i32>, i32)>().unwrap_err().index, 0);
        let three: (Vec<i32>, Named, String) = args.read().unwrap();
        assert_eq!(three, (vec![1, 2], Named { x: 3 }, "s".to_owned()));
        assert_eq!(args.read::<Vec<i32>>().unwrap(), [1, 2]);
        let none = event(r#"2["e"]"#, &[]).args;
        none.read::<()>().unwrap();
        assert_eq!(none.read::<Option<i32>>().unwrap(), None);
        assert!(none.read::<i32>().is_err());
    }

    #[test]
    fn an_answer_is_its_first_argument_or_a_tuple_of_all() {
        let answer = |text| event(text, &[]).args;
        let pair = <(u8, u8)>::from_answer;
        assert_eq!(pair(&answer(r#"2["e",[1,2]]"#)).unwrap(), (1, 2));
        assert_eq!(pair(&answer(r#"2["e",1,2]"#)).unwrap(), (1, 2));
        // What fits the first argument is read from it alone.
        assert_eq!(pair(&answer(r#"2["e",[1,2],[3,4]]"#)).unwrap(), (1, 2));
        type Pairs = ((u8, u8), (u8, u8));
        let pairs = Pairs::from_answer(&answer(r#"2["e",[1,2],[3,4]]"#));
        assert_eq!(pairs.unwrap(), ((1, 2), (3, 4)));
        assert_eq!(u8::from_answer(&answer(r#"2["e",1,2]"#)).unwrap(), 1);
        assert_eq!(<Option<u8>>::from_answer(&answer(r#"2["e"]"#)).unwrap(), None);
        let told = |text| pair(&answer(text)).unwrap_err().to_string();
        let (one, other) = (told(r#"2["e",1]"#), told(r#"2["e",1,"a"]"#));
        assert!(one.contains("expected a tuple"), "{one}");
        assert!(other.contains("string"), "{other}");
        let args = answer(r#"2["e",1,"a"]"#);
        assert_eq!(Args::from_answer(&args).unwrap(), args);
    }

    #[test]
    fn an_event_is_a_variant_of_its_name() {
        let read = |text| event(text, &[]).read::<Heard>();
        assert_eq!(read(r#"2["bye"]"#).unwrap(), Heard::Bye);
        assert_eq!(read(r#"2["said","a"]"#).unwrap(), Heard::Said("a".to_owned()));
        assert_eq!(read(r#"2["moved",1,2.5]"#).unwrap(), Heard::Moved(1.0, 2.5));
        assert_eq!(read(r#"2["at",{"x":1}]"#).unwrap(), Heard::At { x: 1 });
        assert!(read(r#"2["other"]"#).is_err());
        assert!(read(r#"2["said"]"#).is_err());
        let file = event(r#"51-["file",{"x":1},{"_placeholder":true,"num":0}]"#, &[b"\x01\x02"]);
        let expected = Heard::File(Named { x: 1 }, Bytes::from_static(b"\x01\x02"));
        assert_eq!(file.read::<Heard>().unwrap(), expected);
    }

    #[test]
    fn more_arguments_than_are_asked_for_are_ignored_and_missing_ones_are_null() {
        let args = event(r#"2["e",1,"two","offset"]"#, &[]).args;
        assert_eq!(args.read::<(i32, String)>().unwrap(), (1, "two".to_owned()));
        assert_eq!(args.read::<(i32,)>().unwrap(), (1,));
        type Four = (i32, String, String, Option<i32>);
        assert_eq!(args.read::<Four>().unwrap().3, None);
        assert!(args.read::<(i32, String, String, i32)>().is_err());

        let read = |text| event(text, &[]).read::<Heard>();
        assert_eq!(read(r#"2["bye","offset"]"#).unwrap(), Heard::Bye);
        assert_eq!(read(r#"2["said","a","offset"]"#).unwrap(), Heard::Said("a".to_owned()));
        assert_eq!(read(r#"2["moved",1,2,"offset"]"#).unwrap(), Heard::Moved(1.0, 2.0));
        assert_eq!(read(r#"2["at",{"x":1},"offset"]"#).unwrap(), Heard::At { x: 1 });
        assert!(read(r#"2["other",1,2]"#).is_err());
        let file =
            event(r#"51-["file",{"x":1},{"_placeholder":true,"num":0},"offset"]"#, &[b"\x01\x02"]);
        let expected = Heard::File(Named { x: 1 }, Bytes::from_static(b"\x01\x02"));
        assert_eq!(file.read::<Heard>().unwrap(), expected);
    }
}
