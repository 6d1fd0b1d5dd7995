//! Values to the JSON of arguments, with bytes set aside as attachments.

use std::io;

use bytes::Bytes;
use serde::ser::{Serialize, Serializer};
use serde_json::ser::Formatter;

use super::Args;
use crate::error::EncodeError;
use crate::socket::placeholder;

/// What can be sent as the arguments of an event or as the answer of an ack.
///
/// A tuple is several arguments, `()` is none, and everything else that `serde` can write is one.
/// (An array of fixed size is a tuple to `serde`: wrap it as `(array,)`, or send a `Vec`, to make
/// it one argument.) A `Result` is one argument: `{"ok": …}` or `{"error": …}`. Wherever a value
/// writes itself as bytes ([`Bytes`], `serde_bytes`), they travel as a binary attachment. [`Args`]
/// are passed on as they came.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as arguments",
    label = "this cannot be written for a client",
    note = "add `#[derive(serde::Serialize)]` to the type; several arguments are a tuple: `(a, b)`"
)]
pub trait ToArgs {
    /// Writes the arguments. For implementations by hand: give the work to a value that already
    /// implements this trait.
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError>;
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// No argument.
    None,
    /// One value, or several with commas between.
    One,
    /// Several values, with brackets around.
    Bracketed,
}

/// Where arguments are written.
#[derive(Debug)]
pub struct ArgsWriter<'a> {
    text: &'a mut Vec<u8>,
    attachments: &'a mut Vec<Bytes>,
}

impl<'a> ArgsWriter<'a> {
    pub(crate) const fn new(text: &'a mut Vec<u8>, attachments: &'a mut Vec<Bytes>) -> Self {
        Self { text, attachments }
    }
}

impl<T: Serialize + ?Sized> ToArgs for T {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        let start = out.text.len();
        let detached = out.attachments.len();
        let formatter = Detach { attachments: out.attachments };
        let mut json = serde_json::Serializer::with_formatter(&mut *out.text, formatter);
        let mut shape = Shape::One;
        self.serialize(TopLevel {
            json: &mut json,
            shape: &mut shape,
            is_unit: size_of_val(self) == 0,
        })
        .map_err(EncodeError)?;
        if out.attachments.len() > detached {
            // A value that looks like a placeholder, beside real ones, would end the connections of
            // all who get it.
            placeholder::check(&out.text[start..], out.attachments.len()).map_err(|_| {
                EncodeError(serde::ser::Error::custom("a value looks like a placeholder"))
            })?;
        }
        if shape == Shape::None {
            out.text.truncate(start);
        } else if shape == Shape::Bracketed && out.text.len() == start + 2 {
            out.text.truncate(start);
            shape = Shape::None;
        }
        Ok(shape)
    }
}

impl ToArgs for Args {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        out.attachments.extend(self.attachments().iter().cloned());
        if self.is_empty() {
            return Ok(Shape::None);
        }
        out.text.extend_from_slice(self.as_json());
        Ok(Shape::One)
    }
}

impl ToArgs for &Args {
    fn write(&self, out: &mut ArgsWriter<'_>) -> Result<Shape, EncodeError> {
        (**self).write(out)
    }
}

/// Writes bytes as a placeholder and keeps them as an attachment.
struct Detach<'a> {
    attachments: &'a mut Vec<Bytes>,
}

impl Formatter for Detach<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        let number = self.attachments.len();
        self.attachments.push(Bytes::copy_from_slice(bytes));
        write!(writer, r#"{{"_placeholder":true,"num":{number}}}"#)
    }
}

type Json<'a, 'b> = &'a mut serde_json::Serializer<&'b mut Vec<u8>, Detach<'b>>;

/// The outermost serializer: `serde_json`'s, but it notes whether the value was a tuple or nothing,
/// and names the variants of a `Result` as the field's clients expect them.
struct TopLevel<'a, 'b> {
    json: Json<'a, 'b>,
    shape: &'a mut Shape,
    /// Whether the value is `()`. A JSON `null` writes itself the same way, but is an argument.
    is_unit: bool,
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $type:ty),*))*) => {$(
        fn $method(self, $($arg: $type),*) -> Result<(), serde_json::Error> {
            self.json.$method($($arg),*)
        }
    )*};
}

impl<'a, 'b> Serializer for TopLevel<'a, 'b> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = <Json<'a, 'b> as Serializer>::SerializeSeq;
    type SerializeTuple = <Json<'a, 'b> as Serializer>::SerializeTuple;
    type SerializeTupleStruct = <Json<'a, 'b> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <Json<'a, 'b> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <Json<'a, 'b> as Serializer>::SerializeMap;
    type SerializeStruct = <Json<'a, 'b> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <Json<'a, 'b> as Serializer>::SerializeStructVariant;

    forward! {
        serialize_bool(v: bool) serialize_i8(v: i8) serialize_i16(v: i16) serialize_i32(v: i32)
        serialize_i64(v: i64) serialize_i128(v: i128) serialize_u8(v: u8) serialize_u16(v: u16)
        serialize_u32(v: u32) serialize_u64(v: u64) serialize_u128(v: u128) serialize_f32(v: f32)
        serialize_f64(v: f64) serialize_char(v: char) serialize_str(v: &str) serialize_bytes(v: &[u8])
        serialize_none() serialize_unit_struct(name: &'static str)
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str)
    }

    fn serialize_unit(self) -> Result<(), Self::Error> {
        if self.is_unit {
            *self.shape = Shape::None;
            return Ok(());
        }
        self.json.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Self::Error> {
        value.serialize(self.json)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.json.serialize_newtype_struct(name, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        let variant = match (name, variant) {
            ("Result", "Ok") => "ok",
            ("Result", "Err") => "error",
            _ => variant,
        };
        self.json.serialize_newtype_variant(name, index, variant, value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        self.json.serialize_seq(len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Self::Error> {
        *self.shape = Shape::Bracketed;
        self.json.serialize_tuple(len)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Self::Error> {
        self.json.serialize_tuple_struct(name, len)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        self.json.serialize_tuple_variant(name, index, variant, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        self.json.serialize_map(len)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, Self::Error> {
        self.json.serialize_struct(name, len)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        self.json.serialize_struct_variant(name, index, variant, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: ToArgs + ?Sized>(value: &T, json: &str, attachments: usize) {
        let args = Args::new(value).unwrap();
        assert_eq!(std::str::from_utf8(args.as_json()).unwrap(), json);
        assert_eq!(args.attachments().len(), attachments);
    }

    #[test]
    fn a_tuple_is_several_arguments_and_all_else_is_one() {
        check(&(), "", 0);
        check(&&(), "null", 0);
        check(&serde_json::Value::Null, "null", 0);
        check("a\"b", r#""a\"b""#, 0);
        check(&(1, "b", [1.5]), r#"1,"b",[1.5]"#, 0);
        check(&(vec![1, 2],), "[1,2]", 0);
        check(&vec![1, 2], "[1,2]", 0);
        check(&None::<u8>, "null", 0);
        check(&Some((1, 2)), "[1,2]", 0);
        check(&serde_json::json!({"a": [1]}), r#"{"a":[1]}"#, 0);
    }

    #[test]
    fn a_result_is_ok_or_error() {
        check(&Ok::<_, String>(5), r#"{"ok":5}"#, 0);
        check(&Err::<(), _>("no"), r#"{"error":"no"}"#, 0);
    }

    #[test]
    fn bytes_become_attachments_wherever_they_are() {
        #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        struct File {
            name: String,
            data: Bytes,
            more: Option<Vec<Bytes>>,
        }
        let bytes = Bytes::from_static(&[1, 2]);
        let file = File { name: "a".into(), data: bytes.clone(), more: Some(vec![Bytes::new()]) };
        let args = Args::new(&(7, file, &bytes)).unwrap();
        let json = std::str::from_utf8(args.as_json()).unwrap();
        assert!(
            json.ends_with(
                r#""more":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":2}"#
            )
        );
        assert_eq!(args.attachments(), [bytes.clone(), Bytes::new(), bytes.clone()]);
        let file: File = args.get(1).unwrap();
        assert_eq!((file.data, file.more), (bytes.clone(), Some(vec![Bytes::new()])));
        assert_eq!(args.get::<Bytes>(2).unwrap(), bytes);
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_is_not_sent_beside_bytes() {
        let lie = serde_json::json!({ "_placeholder": true, "num": 7 });
        check(&lie, r#"{"_placeholder":true,"num":7}"#, 0);
        let error = Args::new(&(Bytes::from_static(b"x"), lie)).unwrap_err();
        assert!(error.to_string().ends_with("a value looks like a placeholder"), "{error}");
    }

    #[test]
    fn arguments_pass_on_as_they_came() {
        let args = Args::new(&(1, Bytes::from_static(b"x"), "z")).unwrap();
        assert_eq!(Args::new(&args).unwrap(), args);
        let mut cursor = args.cursor();
        assert_eq!(cursor.value::<u8>().unwrap(), 1);
        let rest = cursor.rest();
        assert_eq!(rest.as_json(), br#"{"_placeholder":true,"num":0},"z""#);
        assert!(cursor.rest().is_empty());
    }

    #[test]
    fn an_argument_of_another_type_says_which() {
        let args = Args::new(&("text",)).unwrap();
        let error = args.get::<u8>(0).unwrap_err().to_string();
        assert!(error.starts_with("argument 1 does not fit: invalid type: string"), "{error}");
        assert_eq!(args.get::<u8>(1).unwrap_err().to_string(), "argument 2 is missing");
        assert_eq!(args.get::<Option<u8>>(1).unwrap(), None);
    }
}
