//! All arguments of an event as one value: a tuple for several, anything else for one.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::{Args, decode, push_text};
use crate::error::ArgError;
use crate::socket::Event;

impl Args {
    /// All arguments as a `T`, as [`ToArgs`](super::ToArgs) writes it: a tuple is several arguments, `()` none,
    /// everything else the first.
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
            Shape::Several => {
                let json = [b"[", self.as_json(), b"]"].concat();
                decode::value(0, Some(&json), self.attachments())
            }
        }
    }
}

impl Event {
    /// The event as a variant of an enum, of its name: a unit variant for no argument, a newtype variant for
    /// one, a tuple variant for several.
    ///
    /// # Errors
    ///
    /// Where there is no variant of that name, or its arguments do not fit.
    pub fn read<E: DeserializeOwned>(&self) -> Result<E, ArgError> {
        let mut json = Vec::new();
        let mut name = Vec::new();
        // A text can always be written.
        let _ = push_text(&mut name, self.name());
        let args = self.args.as_json();
        match self.args.iter().take(2).count() {
            0 => json = name,
            count => {
                let (open, close): (&[u8], &[u8]) =
                    if count == 1 { (b":", b"}") } else { (b":[", b"]}") };
                for part in [b"{", &name[..], open, args, close] {
                    json.extend_from_slice(part);
                }
            }
        }
        decode::value(0, Some(&Bytes::from(json)), self.args.attachments())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    None,
    One,
    Several,
}

/// What a type asks for first tells what it is: there need not be a value for that.
fn shape_of<T: DeserializeOwned>() -> Shape {
    match T::deserialize(Probe) {
        Err(Asked(shape)) => shape,
        // A type that reads nothing.
        Ok(_) => Shape::None,
    }
}

/// Gives no value, but tells what was asked for.
struct Probe;

/// What was asked for.
#[derive(Debug)]
struct Asked(Shape);

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::One))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Asked> {
        Err(Asked(Shape::Several))
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
        Self(Shape::One)
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
        assert_eq!(args.read::<(Vec<i32>, Named)>().unwrap_err().index, 0);
        let three: (Vec<i32>, Named, String) = args.read().unwrap();
        assert_eq!(three, (vec![1, 2], Named { x: 3 }, "s".to_owned()));
        assert_eq!(args.read::<Vec<i32>>().unwrap(), [1, 2]);
        let none = event(r#"2["e"]"#, &[]).args;
        none.read::<()>().unwrap();
        assert_eq!(none.read::<Option<i32>>().unwrap(), None);
        assert!(none.read::<i32>().is_err());
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
}
